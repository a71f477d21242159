#pragma once

#include <filesystem>
#include <vector>

#include "record/claims/claim.h"

namespace fovea {

/// Draws what a study directory holds: report.html, one self-contained page (no network, light and dark), and
/// each figure beside it as PDF and SVG. Runs that are missing, unfinished or failed are named on the page.
/// `claims` stand in place of those that the study names; the verdicts are on the page, and beside it as a
/// table in claims.md. Returns the files written, the page first. Throws UserError: unavailable when gnuplot
/// is not installed, input when the directory is no study, usage for what is wrong in `claims`.
std::vector<std::filesystem::path> write_report(const std::filesystem::path& directory,
                                                const std::vector<ClaimFile>& claims = {});

}  // namespace fovea
