#include "train/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/schema.h"
#include "core/file.h"
#include "helpers.h"
#include "model/families.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

using testing::HasSubstr;

constexpr int64 kVocabulary = 256, kHeadDim = 8;

Decoder decoder_of(const Config& config) { return Decoder(decoder_shape(config.model, kVocabulary)); }

// A model of four heads with four KV heads lies in a file; the configuration is for one that starts from it.
class InitialWeights : public testing::Test {
 protected:
  InitialWeights() {
    run.config.model.kv_heads = 4;
    Decoder source = decoder_of(run.config);
    source_layout = source.layout();
    source_weights = Buffer(DType::f32, {source_layout.elements()});
    initialise(source_layout, source_weights, 17);
    const auto path = run.folder / "model.safetensors";
    write_model(path, source_layout, source_weights, {10, "abc", toml_text(run.config), kVocabulary});
    run.config.init.from = path.string();
  }
  Buffer load_for(int64 kv_heads, const std::string& conversion, DType dtype = DType::f32) {
    run.config.model.kv_heads = kv_heads;
    run.config.init.conversion = conversion;
    const Decoder decoder = decoder_of(run.config);
    layout = decoder.layout();
    Buffer weights(dtype, {layout.elements()});
    load_initial_weights(run.config, decoder, weights, {dataset, 40, Backend::cpu, threads});
    return weights;
  }
  Decoder decoder_of_heads(int64 kv_heads) const {
    Config config = run.config;
    config.model.kv_heads = kv_heads;
    return decoder_of(config);
  }
  View of(const View& flat, const ParameterLayout& in, const std::string& name) const {
    return in.view(flat, in.find(name));
  }

  SmallRun run;
  Dataset dataset = run.dataset();
  int threads = 1;
  ParameterLayout source_layout, layout;
  Buffer source_weights;
};

const char* const kKeysAndValues[] = {"blocks.0.attention.k.weight", "blocks.1.attention.v.weight"};

TEST_F(InitialWeights, AreThoseOfTheFile) {
  EXPECT_EQ(bits(load_for(4, "none")), bits(source_weights));
  const Buffer wide = load_for(4, "none", DType::f64);
  for (int64 i = 0; i < layout.elements(); ++i) ASSERT_EQ(load(wide, {i}), load(source_weights, {i}));
}

TEST_F(InitialWeights, NothingIsConvertedWhereTheHeadsAreAsMany) {
  for (const std::string_view conversion : find_config_key("init.conversion")->words)
    EXPECT_EQ(bits(load_for(4, std::string(conversion))), bits(source_weights)) << conversion;
}

TEST_F(InitialWeights, EveryWordConvertsToTheSameBitsWithAnyThreads) {
  std::set<std::string> different;
  for (const std::string_view conversion : find_config_key("init.conversion")->words) {
    if (conversion == "none") continue;
    threads = 1;
    const std::string one = bits(load_for(2, std::string(conversion)));
    threads = 3;
    EXPECT_EQ(bits(load_for(2, std::string(conversion))), one) << conversion;
    if (conversion.find("similar") == conversion.npos) different.insert(one);
  }
  EXPECT_EQ(different.size(), 7U);
}

TEST_F(InitialWeights, ANumberOfHeadsForEachLayer) {
  const Buffer two = load_for(2, "aligned"), one = load_for(1, "aligned");
  const Decoder of_two = decoder_of_heads(2), of_one = decoder_of_heads(1);
  run.config.model.kv_heads_per_layer = {2, 1};
  const Buffer mixed = load_for(4, "aligned");
  for (const Parameter& p : layout.parameters()) {
    const bool second = p.name.starts_with("blocks.1.");
    EXPECT_EQ(bits(of(mixed, layout, p.name)),
              second ? bits(of(one, of_one.layout(), p.name)) : bits(of(two, of_two.layout(), p.name)))
        << p.name;
  }
  // What the file's own layers have is read from it.
  const auto path = run.folder / "mixed.safetensors";
  write_model(path, layout, mixed, {10, "abc", toml_text(run.config), kVocabulary});
  run.config.init.from = path.string();
  EXPECT_EQ(bits(load_for(4, "none")), bits(mixed));
  run.config.model.kv_heads_per_layer.clear();
  EXPECT_THAT(error_of([&] { load_for(2, "none"); }, ExitCode::usage),
              HasSubstr("2/1 KV heads, the model 2"));
  error_of([&] { load_for(2, "mean"); }, ExitCode::usage);
  EXPECT_EQ(bits(of(load_for(1, "mean"), layout, "blocks.1.attention.k.weight")),
            bits(of(one, of_one.layout(), "blocks.1.attention.k.weight")));
}

TEST_F(InitialWeights, AMeanOfHeads) {
  for (const int64 kv_heads : {2, 1}) {
    const Buffer weights = load_for(kv_heads, "mean");
    const int64 group = 4 / kv_heads;
    for (const char* name : kKeysAndValues) {
      const View from = of(source_weights, source_layout, name), to = of(weights, layout, name);
      ASSERT_EQ(to.size(0), kv_heads * kHeadDim);
      for (int64 row = 0; row < to.size(0); ++row)
        for (int64 column = 0; column < to.size(1); ++column) {
          double sum = 0;
          for (int64 i = 0; i < group; ++i)
            sum += load(from, {(row / kHeadDim * group + i) * kHeadDim + row % kHeadDim, column});
          ASSERT_NEAR(load(to, {row, column}), sum / static_cast<double>(group), 1e-8);
        }
    }
  }
}

TEST_F(InitialWeights, TheFirstHeadOfEach) {
  const Buffer weights = load_for(2, "first");
  for (const char* name : kKeysAndValues) {
    const View from = of(source_weights, source_layout, name), to = of(weights, layout, name);
    EXPECT_EQ(bits(to.slice({0, kHeadDim})), bits(from.slice({0, kHeadDim})));
    EXPECT_EQ(bits(to.slice({kHeadDim, 2 * kHeadDim})), bits(from.slice({2 * kHeadDim, 3 * kHeadDim})));
  }
}

TEST_F(InitialWeights, DrawnAnewByTheSeed) {
  const Buffer zero = load_for(2, "random");
  run.config.train.seed = 1;
  const Buffer one = load_for(2, "random");
  const Buffer fresh(DType::f32, {layout.elements()});
  initialise(layout, fresh, 1);
  for (const char* name : kKeysAndValues) {
    EXPECT_NE(bits(of(zero, layout, name)), bits(of(one, layout, name)));
    EXPECT_EQ(bits(of(fresh, layout, name)), bits(of(one, layout, name)));
  }
}

TEST_F(InitialWeights, AllElseIsCopied) {
  for (const char* conversion : {"mean", "first", "random"}) {
    const Buffer weights = load_for(2, conversion);
    for (const Parameter& parameter : layout.parameters()) {
      if (parameter.name.find("attention.k.") != std::string::npos ||
          parameter.name.find("attention.v.") != std::string::npos)
        continue;
      EXPECT_EQ(bits(of(weights, layout, parameter.name)),
                bits(of(source_weights, source_layout, parameter.name)))
          << parameter.name << " " << conversion;
    }
  }
}

TEST_F(InitialWeights, AConversionMustBeNamed) {
  const std::string line = error_of([&] { load_for(2, "none"); }, ExitCode::usage);
  EXPECT_THAT(line, testing::AllOf(HasSubstr("model.safetensors has 4 KV heads, the model 2"),
                                   HasSubstr("init.conversion")));
}

TEST_F(InitialWeights, HeadsAreNotMadeMore) {
  const Buffer two = load_for(2, "mean");
  const auto path = run.folder / "two.safetensors";
  write_model(path, layout, two, {10, "abc", "", kVocabulary});
  run.config.init.from = path.string();
  for (const char* conversion : {"none", "mean", "first", "random"})
    error_of([&] { load_for(4, conversion); }, ExitCode::usage);
}

TEST_F(InitialWeights, AnotherModelIsOneLine) {
  run.config.model.hidden = 48;
  const std::string line = error_of([&] { load_for(4, "none"); }, ExitCode::input);
  EXPECT_THAT(line, testing::AllOf(HasSubstr("model.safetensors"), HasSubstr("mlp")));
  run.config.model.hidden = 0;
  run.config.model.layers = 3;
  EXPECT_THAT(error_of([&] { load_for(4, "none"); }, ExitCode::input), HasSubstr("blocks.2."));
}

// As many elements in another shape are another model's too.
TEST_F(InitialWeights, AnotherShapeOfAsManyElementsIsOneLine) {
  ParameterLayout turned;
  for (const Parameter& parameter : source_layout.parameters()) {
    if (parameter.vector)
      turned.add_vector(parameter.name, parameter.columns, 1);
    else if (parameter.name.find(".mlp.") != std::string::npos)
      turned.add_matrix(parameter.name, parameter.columns, parameter.rows, 0.02);
    else
      turned.add_matrix(parameter.name, parameter.rows, parameter.columns, 0.02);
  }
  write_model(run.config.init.from, turned, source_weights, {10, "abc", "", kVocabulary});
  EXPECT_THAT(error_of([&] { load_for(4, "none"); }, ExitCode::input), HasSubstr("mlp"));
}

TEST_F(InitialWeights, MoreThanTheModelHasIsOneLine) {
  run.config.model.layers = 1;
  EXPECT_THAT(error_of([&] { load_for(4, "none"); }, ExitCode::input), HasSubstr("blocks.1."));
}

TEST_F(InitialWeights, ADamagedFileIsOneLine) {
  std::string data = read_file(run.config.init.from);
  data[data.size() - 3] ^= 1;
  write_file_atomically(run.config.init.from, data);
  EXPECT_THAT(error_of([&] { load_for(4, "none"); }, ExitCode::input), HasSubstr("damaged"));
  std::filesystem::remove(run.config.init.from);
  error_of([&] { load_for(4, "none"); }, ExitCode::input);
}

}  // namespace
}  // namespace fovea
