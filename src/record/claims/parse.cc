#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/text.h"
#include "record/claims/claim.h"

namespace fovea {
namespace {

using Words = std::vector<std::string_view>;

constexpr size_t kMostClaims = 1000;  // `each` multiplies

const Words kFileKeys = {"source", "study", "claim"};
const Words kClaimKeys = {"name",  "source", "says", "study",   "untestable", "quantity", "statistic",
                          "where", "each",   "of",   "against", "terms",      "relation", "threshold"};
const Words kTermKeys = {"weight", "runs"};
const Words kStatistics = {"level", "difference", "sum"};
const Words kRelations = {"<", "<=", ">", ">="};  // in the order of Relation

std::string listed(const Words& words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

/// "did you mean mean?", or what there is.
std::string instead_of(std::string_view word, const Words& words) {
  const std::string near = nearest(word, words);
  return near.empty() ? "must be one of " + listed(words) : "did you mean " + near + "?";
}

// One file; every message begins with the place.
class Parser {
 public:
  explicit Parser(const ClaimFile& file) : file_(file) {}
  std::vector<Claim> parse();

 private:
  struct Choice {  // of `each`: a key and its values
    std::string key;
    std::vector<Condition> values;
  };

  std::string where(const toml::source_region& region) const {
    return fmt::format("{}:{}:{}", file_.name, region.begin.line, region.begin.column);
  }
  std::string where(const toml::node& node) const { return where(node.source()); }

  void expect_keys(const toml::table& table, const Words& known, const char* of) const;
  std::string text(const toml::table& table, std::string_view key) const;
  std::string word(const toml::table& table, std::string_view key, const Words& words,
                   const std::string& otherwise) const;
  double number(const toml::node& node, std::string_view key) const;
  const toml::node& required(const toml::table& table, std::string_view key, std::string_view why) const;

  AttributeValue value(const toml::node& node, const std::string& key) const;
  void walk(const toml::table& table, const std::string& prefix, Selector& into) const;
  std::string checked_key(const std::string& prefix, const toml::key& name) const;
  Selector selector(const toml::table& table, std::string_view key) const;
  void choices(const toml::table& table, const std::string& prefix, std::vector<Choice>& into) const;

  void read_claim(const toml::table& table);
  void read_statistic(const toml::table& table, Claim claim);
  std::vector<Term> read_terms(const toml::table& table) const;
  std::vector<Term> read_weighted(const toml::table& table) const;
  void add_points(const toml::table& table, const Claim& claim);

  const ClaimFile& file_;
  std::string source_, study_;  // of claims that name none
  std::set<std::string> names_;
  std::vector<Claim> claims_;
};

void Parser::expect_keys(const toml::table& table, const Words& known, const char* of) const {
  for (auto&& [name, node] : table)
    if (std::find(known.begin(), known.end(), name.str()) == known.end())
      fail_usage("{}: {} is no key of {}: {}", where(name.source()), name.str(), of,
                 instead_of(name.str(), known));
}

// Empty where there is none.
std::string Parser::text(const toml::table& table, std::string_view key) const {
  const toml::node* node = table.get(key);
  if (!node) return {};
  const auto found = node->value_exact<std::string>();
  if (!found || found->empty()) fail_usage("{}: {} must be a text, in quotes", where(*node), key);
  return *found;
}

std::string Parser::word(const toml::table& table, std::string_view key, const Words& words,
                         const std::string& otherwise) const {
  const std::string found = table.get(key) ? text(table, key) : otherwise;
  if (std::find(words.begin(), words.end(), found) == words.end())
    fail_usage("{}: {} is \"{}\": {}", where(required(table, key, "it has no default")), key, found,
               instead_of(found, words));
  return found;
}

double Parser::number(const toml::node& node, std::string_view key) const {
  const auto found = node.is_number() ? node.value<double>() : std::nullopt;
  if (!found || !std::isfinite(*found)) fail_usage("{}: {} must be a finite number", where(node), key);
  return *found;
}

const toml::node& Parser::required(const toml::table& table, std::string_view key,
                                   std::string_view why) const {
  const toml::node* node = table.get(key);
  if (!node) fail_usage("{}: {} is missing: {}", where(table), key, why);
  return *node;
}

AttributeValue Parser::value(const toml::node& node, const std::string& key) const {
  if (const auto whole = node.value_exact<int64>()) return *whole;
  if (const auto truth = node.value_exact<bool>()) return *truth;
  if (const auto word = node.value_exact<std::string>()) {
    if (key == "role") run_role_named(*word, where(node));
    return *word;
  }
  if (node.is_floating_point()) return number(node, key);
  fail_usage("{}: {} must be a number, a text in quotes, true or false", where(node), key);
}

std::string Parser::checked_key(const std::string& prefix, const toml::key& name) const {
  const std::string key = prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
  if (key == "seed" || key == "train.seed" || key == "study.seeds")
    fail_usage("{}: {} chooses no runs: those of one seed are compared with each other", where(name.source()),
               key);
  const Words known(std::begin(kRunKeys), std::end(kRunKeys));
  if (key.find('.') == std::string::npos && std::find(known.begin(), known.end(), key) == known.end()) {
    const std::string near = nearest(key, known);
    fail_usage("{}: {} tells no runs apart: {}", where(name.source()), key,
               near.empty()
                   ? "name a key of the configuration in full, as model.hidden, or one of " + listed(known)
                   : "did you mean " + near + "?");
  }
  return key;
}

void Parser::walk(const toml::table& table, const std::string& prefix, Selector& into) const {
  for (auto&& [name, node] : table) {
    if (const toml::table* inner = node.as_table()) {
      walk(*inner, prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str()), into);
      continue;
    }
    const std::string key = checked_key(prefix, name);
    into.push_back({key, value(node, key), where(name.source())});
  }
}

// Empty where there is none.
Selector Parser::selector(const toml::table& table, std::string_view key) const {
  Selector runs;
  const toml::node* node = table.get(key);
  if (!node) return runs;
  if (!node->is_table())
    fail_usage("{}: {} must be a table of what the runs are, as {{conversion = \"mean\"}}", where(*node),
               key);
  walk(*node->as_table(), "", runs);
  return runs;
}

void Parser::choices(const toml::table& table, const std::string& prefix, std::vector<Choice>& into) const {
  for (auto&& [name, node] : table) {
    if (const toml::table* inner = node.as_table()) {
      choices(*inner, prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str()),
              into);
      continue;
    }
    Choice choice{checked_key(prefix, name), {}};
    const toml::array* list = node.as_array();
    if (!list || list->empty())
      fail_usage("{}: each.{} must be a list of the values to judge one by one", where(node), choice.key);
    for (const toml::node& element : *list)
      choice.values.push_back({choice.key, value(element, choice.key), where(element)});
    into.push_back(std::move(choice));
  }
}

/// Conditions of `over` stand over those of `under`.
Selector merged(const Selector& under, const Selector& over) {
  Selector result;
  const auto overruled = [&](const Condition& condition) {
    return std::any_of(over.begin(), over.end(), [&](const Condition& c) { return c.key == condition.key; });
  };
  std::copy_if(under.begin(), under.end(), std::back_inserter(result),
               [&](const auto& c) { return !overruled(c); });
  result.insert(result.end(), over.begin(), over.end());
  return result;
}

std::vector<Term> Parser::read_weighted(const toml::table& table) const {
  const toml::node& node =
      required(table, "terms", "a sum adds them, as terms = [{weight = 1, runs = {alpha = 0}}]");
  const toml::array* list = node.as_array();
  if (!list || list->empty() || !list->is_homogeneous(toml::node_type::table))
    fail_usage("{}: terms must be a list of tables, as [{{weight = 1, runs = {{alpha = 0}}}}]", where(node));
  std::vector<Term> terms;
  for (const toml::node& element : *list) {
    const toml::table& term = *element.as_table();
    expect_keys(term, kTermKeys, "a term");
    const toml::node& weight = required(term, "weight", "how often the term counts, as weight = -1");
    terms.push_back({number(weight, "weight"), selector(term, "runs")});
    if (terms.back().weight == 0) fail_usage("{}: a term of weight 0 adds nothing: remove it", where(weight));
  }
  return terms;
}

std::vector<Term> Parser::read_terms(const toml::table& table) const {
  const std::string statistic = word(table, "statistic", kStatistics, "difference");
  const bool sum = statistic == "sum", difference = statistic == "difference";
  const auto refuse = [&](std::string_view key, bool wanted) {
    if (const toml::node* node = table.get(key); node && !wanted)
      fail_usage("{}: {} has no meaning where statistic = \"{}\": remove it", where(*node), key, statistic);
  };
  refuse("terms", sum);
  refuse("of", !sum);
  refuse("against", difference);
  if (sum) return read_weighted(table);
  required(table, "of", "the runs that the claim is about, as of = {conversion = \"mean\"}");
  std::vector<Term> terms = {{1, selector(table, "of")}};
  if (difference) {
    required(table, "against",
             "the runs that they are compared with, as against = {conversion = \"random\"}");
    terms.push_back({-1, selector(table, "against")});
  }
  return terms;
}

void Parser::add_points(const toml::table& table, const Claim& claim) {
  std::vector<Selector> points = {{}};
  if (const toml::node* each = table.get("each")) {
    if (!each->is_table())
      fail_usage("{}: each must be a table of lists, as {{kv_heads = [4, 2, 1]}}", where(*each));
    std::vector<Choice> axes;
    choices(*each->as_table(), "", axes);
    for (const Choice& axis : axes) {
      if (points.size() * axis.values.size() > kMostClaims)
        fail_usage("{}: each makes more than {} claims of one: shorten its lists", where(*each), kMostClaims);
      std::vector<Selector> longer;
      for (const Selector& point : points)
        for (const Condition& value : axis.values) (longer.emplace_back(point)).push_back(value);
      points = std::move(longer);
    }
  }
  const Selector shared = selector(table, "where");
  for (const Selector& point : points) {
    if (claims_.size() >= kMostClaims)
      fail_usage("{}: more than {} claims in one file: split it", claim.where, kMostClaims);
    Claim& one = claims_.emplace_back(claim);
    for (Term& term : one.terms) term.runs = merged(merged(shared, point), term.runs);
    one.point = point;
  }
}

void Parser::read_statistic(const toml::table& table, Claim claim) {
  claim.quantity = table.get("quantity") ? text(table, "quantity") : "loss";
  if (!find_quantity(claim.quantity)) {
    Words known;
    for (const Quantity& quantity : quantities()) known.push_back(quantity.name);
    fail_usage("{}: quantity is \"{}\": {}", where(*table.get("quantity")), claim.quantity,
               instead_of(claim.quantity, known));
  }
  claim.terms = read_terms(table);
  required(table, "relation",
           "how the number stands to the threshold if the claim holds, as relation = \"<\"");
  const std::string relation = word(table, "relation", kRelations, "");
  claim.relation =
      static_cast<Relation>(std::find(kRelations.begin(), kRelations.end(), relation) - kRelations.begin());
  claim.threshold =
      number(required(table, "threshold",
                      "what the number is held against, in the quantity's unit, as threshold = 0"),
             "threshold");
  add_points(table, claim);
}

void Parser::read_claim(const toml::table& table) {
  expect_keys(table, kClaimKeys, "a claim");
  Claim claim;
  claim.where = where(table);
  required(table, "name", "a short name of its own, as name = \"pooling\"");
  required(table, "says", "the sentence that is claimed");
  claim.name = text(table, "name");
  claim.says = text(table, "says");
  claim.source = table.get("source") ? text(table, "source") : source_;
  claim.study = table.get("study") ? text(table, "study") : study_;
  if (claim.source.empty())
    required(table, "source", "where the claim was published, here or at the file's top");
  if (claim.study.empty())
    required(table, "study", "kind or name of the study that it reads, here or at the file's top");
  if (!names_.insert(claim.name).second)
    fail_usage("{}: two claims are named \"{}\": rename one", where(*table.get("name")), claim.name);
  if (!table.get("untestable")) return read_statistic(table, std::move(claim));
  claim.untestable = text(table, "untestable");
  for (const std::string_view key :
       {"quantity", "statistic", "where", "each", "of", "against", "terms", "relation", "threshold"})
    if (const toml::node* node = table.get(key))
      fail_usage("{}: {} has no meaning where the claim is untestable: remove one of them", where(*node),
                 key);
  claims_.push_back(std::move(claim));
}

std::vector<Claim> Parser::parse() {
  toml::table table;
  try {
    table = toml::parse(file_.text, std::string_view(file_.name));
  } catch (const toml::parse_error& error) {
    fail_usage("{}: {}", where(error.source()), error.description());
  }
  expect_keys(table, kFileKeys, "a file of claims");
  source_ = text(table, "source");
  study_ = text(table, "study");
  const toml::node* list = table.get("claim");
  if (!list) fail_usage("{}:1:1: there is no claim: write [[claim]] above each", file_.name);
  const toml::array* claims = list->as_array();
  if (!claims || claims->empty() || !claims->is_homogeneous(toml::node_type::table))
    fail_usage("{}: claim must be a list of tables: write [[claim]] above each", where(*list));
  for (const toml::node& claim : *claims) read_claim(*claim.as_table());
  return std::move(claims_);
}

}  // namespace

std::vector<Claim> parse_claims(const ClaimFile& file) {
  try {
    return Parser(file).parse();
  } catch (const UserError& error) {
    throw UserError(ExitCode::usage, on_one_line(error.what()));
  }
}

}  // namespace fovea
