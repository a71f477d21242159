#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace fovea {

/// JSON text from outside; `name` says which file it is. Throws UserError (input), one line, for what is not
/// JSON, nests deeper than 64, gives a key of an object twice (two readers would see two files), or is larger
/// than any file that this program has a use for.
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// The same of a file, which is not read where it is too large.
nlohmann::json read_json(const std::filesystem::path& path);

/// A string from outside, for one line of text: escaped, and cut after `longest` bytes.
std::string printable(std::string_view text, size_t longest = 100);
/// A value from outside, likewise.
std::string printable_json(const nlohmann::json& value);

}  // namespace fovea
