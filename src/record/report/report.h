#pragma once

#include <filesystem>
#include <vector>

namespace fovea {

/// Draws what a study directory holds: report.html, one self-contained page (no network, light and dark), and
/// each figure beside it as PDF and SVG. Runs that are missing, unfinished or failed are named on the page.
/// Returns the files written, the page first. Throws UserError: unavailable when gnuplot is not installed,
/// input when the directory is no study.
std::vector<std::filesystem::path> write_report(const std::filesystem::path& directory);

}  // namespace fovea
