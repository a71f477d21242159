#include "data/tokenizer.h"

#include "core/error.h"

namespace fovea {

Tokenizer tokenizer_named(std::string_view name) {
  if (name == "bytes") return {"bytes", 256};
  fail_usage("data.tokenizer = \"{}\": there is no such tokenizer; there is: bytes", name);
}

}  // namespace fovea
