#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/types.h"

namespace fovea::test {

/// TensorBoard's files, decoded from their definition and not by the code that wrote them. Whatever is not as
/// it must be fails the test.

/// CRC-32C by long division, bit by bit; masked as TFRecords are.
inline uint32 masked_crc32c(std::string_view data) {
  uint32 crc = 0xffffffff;
  for (const char byte : data)
    for (int bit = 0; bit < 8; ++bit) {
      const bool one = ((crc ^ static_cast<uint32>(static_cast<unsigned char>(byte)) >> bit) & 1) != 0;
      crc >>= 1;
      if (one) crc ^= 0x82f63b78;
    }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

/// A message's fields by number: what stands behind each key, varints as eight bytes.
using Fields = std::multimap<int64, std::string>;

inline uint64 take_varint(std::string_view& bytes) {
  uint64 value = 0;
  for (int shift = 0; !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a varint without its end";
  return 0;
}

inline std::string take(std::string_view& bytes, size_t count) {
  EXPECT_LE(count, bytes.size());
  const std::string taken(bytes.substr(0, count));
  bytes.remove_prefix(std::min(count, bytes.size()));
  return taken;
}

inline Fields fields_of(std::string_view bytes) {
  Fields fields;
  while (!bytes.empty()) {
    const uint64 key = take_varint(bytes);
    const uint64 kind = key & 7;
    std::string value;
    if (kind == 0) {
      const uint64 number = take_varint(bytes);
      value.assign(reinterpret_cast<const char*>(&number), sizeof(number));
    } else if (kind == 1 || kind == 5) {
      value = take(bytes, kind == 1 ? 8 : 4);
    } else if (kind == 2) {
      const uint64 length = take_varint(bytes);
      value = take(bytes, length);
    } else {
      ADD_FAILURE() << "wire type " << kind;
      return fields;
    }
    fields.emplace(static_cast<int64>(key >> 3), value);
  }
  return fields;
}

template <class T>
T number_of(const std::string& bytes) {
  T value{};
  EXPECT_EQ(bytes.size(), sizeof(value));
  if (bytes.size() == sizeof(value)) std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

inline std::string only(const Fields& fields, int64 number) {
  EXPECT_EQ(fields.count(number), 1U) << "field " << number;
  const auto found = fields.find(number);
  return found == fields.end() ? "" : found->second;
}

/// The messages of a file of TFRecords; a last one that is torn is left out.
inline std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (std::string_view rest = file; rest.size() >= 12;) {
    const std::string length = take(rest, 8), length_crc = take(rest, 4);
    EXPECT_EQ(number_of<uint32>(length_crc), masked_crc32c(length)) << "of length " << records.size();
    const auto size = number_of<uint64>(length);
    if (rest.size() < size + 4) break;
    records.push_back(take(rest, size));
    EXPECT_EQ(number_of<uint32>(take(rest, 4)), masked_crc32c(records.back()))
        << "of record " << records.size();
  }
  return records;
}

struct ScalarEvent {
  int64 step = 0;
  double time = 0;
  float value = 0;
};

struct Events {
  std::vector<std::string> versions;  ///< field 3 of the events that have one
  int64 starts = 0;                   ///< SessionLog messages with the status START
  std::map<std::string, std::vector<ScalarEvent>> scalars;

  std::vector<int64> steps(const std::string& tag) const {
    std::vector<int64> all;
    for (const ScalarEvent& e : scalars.at(tag)) all.push_back(e.step);
    return all;
  }
  std::vector<float> values(const std::string& tag) const {
    std::vector<float> all;
    for (const ScalarEvent& e : scalars.at(tag)) all.push_back(e.value);
    return all;
  }
};

/// The one event file of a folder.
inline Events events_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  EXPECT_EQ(files.size(), 1U);
  Events events;
  if (files.empty()) return events;
  EXPECT_TRUE(files[0].filename().string().starts_with("events.out.tfevents.")) << files[0];
  for (const std::string& message : records_of(read_file(files[0]))) {
    const Fields event = fields_of(message);
    if (event.contains(3)) {
      events.versions.push_back(only(event, 3));
      continue;
    }
    const auto step = number_of<int64>(only(event, 2));
    const auto time = number_of<double>(only(event, 1));
    if (event.contains(7)) {
      EXPECT_EQ(number_of<int64>(only(fields_of(only(event, 7)), 1)), 1);
      ++events.starts;
      continue;
    }
    const Fields summary = fields_of(only(event, 5));
    for (const auto& [number, bytes] : summary) {
      EXPECT_EQ(number, 1);
      const Fields value = fields_of(bytes);
      events.scalars[only(value, 1)].push_back({step, time, number_of<float>(only(value, 2))});
    }
  }
  return events;
}

}  // namespace fovea::test
