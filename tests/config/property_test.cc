#include <gtest/gtest.h>
#include <rapidcheck.h>
// After GoogleTest, which it needs and does not include.
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>

#include "tests/config/helpers.h"

namespace fovea {
namespace {

// Many magnitudes, all bits of the mantissa.
double unit_number() {
  const uint64 mantissa = *rc::gen::arbitrary<uint64>() >> 12;
  const uint64 exponent = static_cast<uint64>(*rc::gen::inRange(1023 - 40, 1023));
  return std::bit_cast<double>(exponent << 52 | mantissa);
}

double number(const Bounds& bounds) {
  if (bounds.or_else && *rc::gen::inRange(0, 4) == 0) return *bounds.or_else;
  const double least = std::isfinite(bounds.least) ? bounds.least : 0;
  return least + unit_number() * (std::isfinite(bounds.most) ? bounds.most - least : 1e9);
}

int64 integer(const Bounds& bounds) {
  const double most = std::min(bounds.most, 0x1p53);
  return *rc::gen::inRange(static_cast<int64>(bounds.least), static_cast<int64>(most) + 1);
}

std::string word(const ConfigKey& key) {
  if (!key.words.empty()) {
    const std::string chosen{*rc::gen::elementOf(key.words)};
    if (!chosen.ends_with(" K")) return chosen;
    return chosen.substr(0, chosen.size() - 1) + std::to_string(*rc::gen::inRange(1, 100));
  }
  const std::vector<std::string> letters = {
      "a", "\"", "\\", "\n", "\t", "\x01", "\x7f", "#", "=", " ", "'", "]", "é", "語", std::string(1, '\0')};
  std::string text = "x";
  for (const std::string& letter : *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(letters)))
    text += letter;
  return text;
}

template <class E, class Draw>
std::vector<E> list_of(Draw draw) {
  std::vector<E> list(static_cast<size_t>(*rc::gen::inRange(1, 4)));
  for (E& element : list) element = draw();
  return list;
}

ConfigValue acceptable_value(const ConfigKey& key) {
  Config config;
  struct Draw {
    const ConfigKey& key;
    ConfigValue operator()(std::string*) const { return word(key); }
    ConfigValue operator()(int64*) const { return integer(key.bounds); }
    ConfigValue operator()(double*) const { return number(key.bounds); }
    ConfigValue operator()(bool*) const { return *rc::gen::arbitrary<bool>(); }
    ConfigValue operator()(std::vector<std::string>*) const {
      return list_of<std::string>([&] { return word(key); });
    }
    ConfigValue operator()(std::vector<int64>*) const {
      return list_of<int64>([&] { return integer(key.bounds); });
    }
    ConfigValue operator()(std::vector<double>*) const {
      return list_of<double>([&] { return number(key.bounds); });
    }
  };
  return std::visit(Draw{key}, key.slot(config));
}

template <class E>
void make_distinct(std::vector<E>& list) {
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

// Any value for any key, then what keys say of one another.
Config consistent_config() {
  Config config;
  for (const ConfigKey& key : config_keys()) set_value(key, config, acceptable_value(key));
  config.study.name = "n" + std::to_string(*rc::gen::inRange(0, 100));
  make_distinct(config.study.seeds);
  config.model.layers = std::max<int64>(config.model.layers, 4);
  config.model.kv_heads = config.study.kind == "gqa" ? 0 : config.model.q_heads;
  config.model.kv_heads_per_layer.clear();
  if (config.study.kind != "gqa" && *rc::gen::arbitrary<bool>())
    config.model.kv_heads_per_layer.assign(static_cast<size_t>(config.model.layers), config.model.q_heads);
  config.model.head_dim = 2 * *rc::gen::inRange<int64>(4, 1000);
  config.model.rope_fraction = std::max(config.model.rope_fraction, 0.5);
  const bool learned = config.model.position == "family" && config.model.family == "gpt2";
  if (learned || config.model.position == "learned" || config.model.position == "none")
    config.model.rope_type = "default";
  config.model.rope_theta += 1;
  config.model.rope_factor = std::abs(config.model.rope_factor);
  config.model.rope_beta_fast += 2 * config.model.rope_beta_slow;
  config.model.rope_high_freq_factor += 2 * config.model.rope_low_freq_factor;
  const double rotated = config.model.rope_fraction * static_cast<double>(config.model.head_dim);
  config.model.rope_short_factors.assign(static_cast<size_t>(rotated / 2), 2.5);
  config.model.rope_long_factors = config.model.rope_short_factors;
  config.model.sliding_window += 1;
  config.train.sequence = std::min(config.train.sequence, config.model.context);
  config.train.grain = std::min(config.train.grain, config.train.batch);
  config.train.tokens = 1000000000000000 - *rc::gen::inRange(0, 1000);
  config.train.decay = (1 - config.train.warmup) / 2;
  config.train.fit = std::to_string(*rc::gen::inRange(1, 100000)) + " MiB";
  if (config.train.precision == "f64") config.train.precision = "bf16";
  make_distinct(config.gqa.inits);
  make_distinct(config.gqa.alphas);
  config.gqa.kv_heads = {1, config.model.q_heads};
  make_distinct(config.gqa.kv_heads);
  if (config.study.kind == "gqa") config.init = {};
  config.data.tokenizer = "/" + config.data.tokenizer;  // not relative to the file that names it
  return config;
}

RC_GTEST_PROP(Property, WrittenAsTomlAndLoadedItIsTheSameConfiguration, ()) {
  const Folder folder;
  const Config config = consistent_config();
  const LoadedConfig loaded = folder.load(toml_text(config));
  RC_ASSERT(canonical(loaded.config) == canonical(config));
  for (const ConfigKey& key : config_keys()) RC_ASSERT(value_of(key, loaded.config) == value_of(key, config));
}

RC_GTEST_PROP(Property, OverridesSayTheSameAsAFile, ()) {
  const Folder folder;
  const Config config = consistent_config();
  std::vector<std::string> overrides;
  for (const ConfigKey& key : config_keys())
    overrides.push_back(std::string(key.path) + "=" + toml_of(value_of(key, config)));
  // A seed set after the list of seeds would stand for it.
  std::rotate(overrides.begin(), overrides.begin() + 3, overrides.end());
  RC_ASSERT(toml_text(folder.load("", overrides).config) == toml_text(config));
}

RC_GTEST_PROP(Property, DamagedFilesLoadOrAreRefusedInOneLine, ()) {
  static const std::string original =
      "base = ['y.toml']\n[study]\nseeds = [0, 1]\n[model]\nlayers = 2\nattention = [\"full\"]\n[train]\nlr "
      "= 1e-3\n"
      "[sweep]\n\"train.clip\" = [1, 2]\n[[sweep.zip]]\nmodel.dropout = [0, 0.1]\ntrain.beta1 = [0.8, 0.9]\n";
  const Folder folder;
  folder.write("y.toml", "model.context = 64\n");
  std::string text = original;
  const int damages = *rc::gen::inRange(1, 4);
  for (int i = 0; i < damages && !text.empty(); ++i) {
    const size_t at = *rc::gen::inRange<size_t>(0, text.size());
    const std::string piece = *rc::gen::elementOf(std::vector<std::string>{
        "", "\n", "\"", "[", "]", "=", ".", "{", "-", "9", "\xff", "\\", "e", "sweep."});
    text.replace(at, static_cast<size_t>(*rc::gen::inRange(0, 3)), piece);
  }
  const std::string outcome = folder.error_in(text);
  RC_ASSERT(outcome.find('\n') == std::string::npos);
  RC_ASSERT(outcome == "no error" || outcome.starts_with("2 ") || outcome.starts_with("3 "));
}

}  // namespace
}  // namespace fovea
