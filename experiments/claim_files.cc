#include "experiments/claim_files.h"

#include "config/schema.h"
#include "config/suggest.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "record/report/judge.h"

namespace fovea {
namespace {

void check_key(const Condition& condition) {
  const bool of_configuration = condition.key.find('.') != std::string::npos;
  if (!of_configuration || find_config_key(condition.key)) return;
  const std::string near = nearest_config_key(condition.key);
  throw UserError(ExitCode::usage,
                  on_one_line(fmt::format(
                      "{}: {} is no key of the configuration: {}", condition.where, condition.key,
                      near.empty() ? "docs/config.md lists them all" : "did you mean " + near + "?")));
}

}  // namespace

std::vector<ClaimFile> read_claim_files(const std::vector<std::string>& paths) {
  std::vector<ClaimFile> files;
  for (const std::string& path : paths) files.push_back({path, read_file(path)});
  for (const Claim& claim : report::parse_all(files))
    for (const Term& term : claim.terms)
      for (const Condition& condition : term.runs) check_key(condition);
  return files;
}

}  // namespace fovea
