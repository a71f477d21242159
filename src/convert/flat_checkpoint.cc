#include "convert/flat_checkpoint.h"

#include <array>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "model/families.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr int32 kLlmC = 20240326, kLlama2C = 0x616b3432;
constexpr int64 kLlmCHeader = 256 * 4, kLlama2CHeader = 256, kOldHeader = 7 * 4;

/// Parameters that follow one another: of each layer in turn ("*" is its number), or once.
struct Section {
  std::vector<std::string_view> names;
  int64 skipped = 0;  ///< elements after them that nobody reads
};

const std::vector<Section>& llm_c_sections() {
  static const std::vector<Section> sections = {
      {{"embed.weight"}},
      {{"position.weight"}},
      {{"blocks.*.attention_norm.weight"}},
      {{"blocks.*.attention_norm.bias"}},
      {{"blocks.*.attention.q.weight", "blocks.*.attention.k.weight", "blocks.*.attention.v.weight"}},
      {{"blocks.*.attention.q.bias", "blocks.*.attention.k.bias", "blocks.*.attention.v.bias"}},
      {{"blocks.*.attention.out.weight"}},
      {{"blocks.*.attention.out.bias"}},
      {{"blocks.*.mlp_norm.weight"}},
      {{"blocks.*.mlp_norm.bias"}},
      {{"blocks.*.mlp.up.weight"}},
      {{"blocks.*.mlp.up.bias"}},
      {{"blocks.*.mlp.down.weight"}},
      {{"blocks.*.mlp.down.bias"}},
      {{"final_norm.weight"}},
      {{"final_norm.bias"}}};
  return sections;
}

// W_Q, W_K, W_V and W_O of all layers, then what each trainer has next.
std::vector<Section> attention_then(std::vector<Section> rest) {
  std::vector<Section> sections = {{{"blocks.*.attention.q.weight"}},
                                   {{"blocks.*.attention.k.weight"}},
                                   {{"blocks.*.attention.v.weight"}},
                                   {{"blocks.*.attention.out.weight"}}};
  sections.insert(sections.end(), rest.begin(), rest.end());
  return sections;
}

const std::vector<Section> kMlp = {
    {{"blocks.*.mlp.gate.weight"}}, {{"blocks.*.mlp.down.weight"}}, {{"blocks.*.mlp.up.weight"}}};

/// What a header says.
struct Header {
  ModelConfig model;
  int64 vocabulary = 0;
  DType dtype = DType::f32;
  int64 bytes = 0;  ///< of the header
  std::vector<Section> sections;
};

class Reader {
 public:
  explicit Reader(const fs::path& path, std::span<const std::byte> bytes) : path_(path), bytes_(bytes) {}

  int32 word(int64 i) const {
    int32 value = 0;
    if (4 * (i + 1) > static_cast<int64>(bytes_.size()))
      fail_input("{}: not a checkpoint: shorter than its header", path_.string());
    std::memcpy(&value, bytes_.data() + 4 * i, 4);
    return value;
  }
  int64 size(int64 i, const char* what, int64 most) const {
    const int64 value = word(i);
    if (value < 1 || value > most)
      fail_input("{}: {} of {}: must be from 1 to {}", path_.string(), what, value, most);
    return value;
  }
  bool flag(int64 byte) const {
    return byte < static_cast<int64>(bytes_.size()) && bytes_[static_cast<size_t>(byte)] != std::byte{0};
  }
  template <class... A>
  [[noreturn]] void fail(fmt::format_string<A...> format, A&&... a) const {
    fail_input("{}: {}", path_.string(), fmt::format(format, std::forward<A>(a)...));
  }

 private:
  const fs::path& path_;
  std::span<const std::byte> bytes_;
};

constexpr int64 kMostLayers = 1024, kMostHeads = 1024, kMostWidth = 65536, kMostVocabulary = 1 << 24,
                kMostContext = 1 << 24;

void expect_whole_heads(const Reader& reader, const ModelConfig& model) {
  if (model.width % model.q_heads != 0 || model.q_heads % model.kv_heads != 0)
    reader.fail("{} query and {} KV heads in a width of {} are not whole", model.q_heads, model.kv_heads,
                model.width);
}

Header llm_c_header(const Reader& reader) {
  const int32 version = reader.word(1);
  if (version != 3 && version != 5)
    reader.fail("version {} of llm.c's checkpoints: 3 (f32) and 5 (bf16) are read", version);
  Header header;
  header.bytes = kLlmCHeader;
  header.dtype = version == 3 ? DType::f32 : DType::bf16;
  ModelConfig& model = header.model;
  model.family = "gpt2";
  model.context = reader.size(2, "a context", kMostContext);
  header.vocabulary = reader.size(3, "a vocabulary", kMostVocabulary);
  model.layers = reader.size(4, "layers", kMostLayers);
  model.q_heads = model.kv_heads = reader.size(5, "heads", kMostHeads);
  model.width = reader.size(6, "a width", kMostWidth);
  const int64 padded = reader.size(7, "a padded vocabulary", kMostVocabulary);
  if (padded < header.vocabulary)
    reader.fail("a padded vocabulary of {} below the vocabulary of {}", padded, header.vocabulary);
  expect_whole_heads(reader, model);
  header.sections = llm_c_sections();
  header.sections.front().skipped = (padded - header.vocabulary) * model.width;
  return header;
}

// The seven sizes that both of llama2.c's headers have; returns the word of the vocabulary, whose sign
// speaks.
int64 read_llama(const Reader& reader, int64 first, Header& header) {
  ModelConfig& model = header.model;
  model.family = "llama";
  model.rope_interleaved = true;
  model.width = reader.size(first, "a width", kMostWidth);
  model.hidden = reader.size(first + 1, "a hidden width", 16 * kMostWidth);
  model.layers = reader.size(first + 2, "layers", kMostLayers);
  model.q_heads = reader.size(first + 3, "heads", kMostHeads);
  model.kv_heads = reader.size(first + 4, "KV heads", kMostHeads);
  const int64 signed_vocabulary = reader.word(first + 5);
  header.vocabulary = std::abs(signed_vocabulary);
  if (header.vocabulary < 1 || header.vocabulary > kMostVocabulary)
    reader.fail("a vocabulary of {}: must be from 1 to {}", signed_vocabulary, kMostVocabulary);
  model.context = reader.size(first + 6, "a context", kMostContext);
  expect_whole_heads(reader, model);
  if (model.width / model.q_heads % 2 != 0)
    reader.fail("heads of {}: RoPE turns pairs", model.width / model.q_heads);
  return signed_vocabulary;
}

Header llama2_c_header(const Reader& reader) {
  if (reader.word(1) != 1)
    reader.fail("version {} of llama2.c's checkpoints: 1 (f32) is read, and the older file without a version",
                reader.word(1));
  Header header;
  header.bytes = kLlama2CHeader;
  read_llama(reader, 2, header);
  const bool shared = reader.flag(9 * 4);
  header.model.tie_embeddings = shared ? "yes" : "no";
  std::vector<Section> rest = kMlp;
  if (!shared) rest.push_back({{"head.weight"}});
  header.sections = attention_then(rest);
  const std::vector<Section> first = {{{"blocks.*.attention_norm.weight"}},
                                      {{"blocks.*.mlp_norm.weight"}},
                                      {{"final_norm.weight"}},
                                      {{"embed.weight"}}};
  header.sections.insert(header.sections.begin(), first.begin(), first.end());
  return header;
}

Header old_llama2_c_header(const Reader& reader) {
  Header header;
  header.bytes = kOldHeader;
  const bool shared = read_llama(reader, 0, header) > 0;
  header.model.tie_embeddings = shared ? "yes" : "no";
  std::vector<Section> rest = {{{"blocks.*.mlp_norm.weight"}}};
  rest.insert(rest.end(), kMlp.begin(), kMlp.end());
  // After the last norm lie tables of cosines and sines.
  rest.push_back({{"final_norm.weight"}, header.model.context * (header.model.width / header.model.q_heads)});
  if (!shared) rest.push_back({{"head.weight"}});
  header.sections = attention_then(rest);
  const std::vector<Section> first = {{{"embed.weight"}}, {{"blocks.*.attention_norm.weight"}}};
  header.sections.insert(header.sections.begin(), first.begin(), first.end());
  return header;
}

Header read_header(const Reader& reader) {
  switch (reader.word(0)) {
    case kLlmC:
      return llm_c_header(reader);
    case kLlama2C:
      return llama2_c_header(reader);
    default:
      return old_llama2_c_header(reader);
  }
}

// The element at which each parameter begins; returns how many there are.
int64 lay_out(const Header& header, const ParameterLayout& layout, std::vector<int64>& begins) {
  int64 at = 0;
  const auto place = [&](const std::string& name) {
    const ParameterId id = layout.find(name);
    FOVEA_CHECK(id != kNoParameter, "no parameter {}", name);
    begins[static_cast<size_t>(id)] = at;
    at += layout[id].elements();
  };
  for (const Section& section : header.sections) {
    const bool layered = section.names.front().find('*') != std::string_view::npos;
    for (int64 layer = 0; layer < (layered ? header.model.layers : 1); ++layer)
      for (const std::string_view name : section.names) {
        std::string full(name);
        if (layered) full.replace(full.find('*'), 1, std::to_string(layer));
        place(full);
      }
    at += section.skipped;
  }
  return at;
}

}  // namespace

bool is_flat_checkpoint(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;  // a pipe would be waited for
  std::array<char, 4> first{};
  std::ifstream(path, std::ios::binary).read(first.data(), first.size());
  int32 magic = 0;
  std::memcpy(&magic, first.data(), sizeof magic);
  return magic == kLlmC || magic == kLlama2C || path.extension() == ".bin";
}

StoredModel open_flat_checkpoint(const fs::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  const Header header = read_header(Reader(path, file->bytes()));
  StoredModel model;
  model.config = header.model;
  model.vocabulary = header.vocabulary;
  model.layout = layout_of(model.shape());
  model.tensors = own_tensors(model.layout);
  const auto begins = std::make_shared<std::vector<int64>>(model.layout.parameters().size(), -1);
  const int64 bytes = header.bytes + lay_out(header, model.layout, *begins) * size_of(header.dtype);
  if (!std::cmp_equal(file->bytes().size(), bytes))
    fail_input("{}: {} bytes, its header asks for {}: no checkpoint of llm.c or llama2.c, or truncated",
               path.string(), file->bytes().size(), bytes);
  std::vector<int64> elements;
  for (const Parameter& parameter : model.layout.parameters()) elements.push_back(parameter.elements());
  const auto mapped = [file, begins, elements, first = header.bytes,
                       element = size_of(header.dtype)](ParameterId id) {
    const auto i = static_cast<size_t>(id);
    return file->bytes().subspan(static_cast<size_t>(first + (*begins)[i] * element),
                                 static_cast<size_t>(elements[i] * element));
  };
  model.parameters = {[dtype = header.dtype](ParameterId) { return dtype; },
                      [mapped, dtype = header.dtype](ParameterId id, const View& to) {
                        convert_elements(mapped(id).data(), dtype, to);
                        release_pages(mapped(id));
                      },
                      mapped};
  return model;
}

}  // namespace fovea
