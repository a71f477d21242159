#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace fovea::report {

/// Colours of a figure, as gnuplot writes them: "#rrggbb".
struct Inks {
  std::string text, faint, mha, mean, first, random, scratch, mean_scaled, aligned, aligned_unscaled,
      aligned_activations;
};

/// A figure is a gnuplot script that is run twice: as SVG for the page, whose colours become CSS variables,
/// and as PDF in the colours for paper.
struct Figure {
  std::string name;  ///< of the PDF, and of what the SVG defines: "quality"
  std::string alt;   ///< what it shows, for those who do not see it
  int width = 760, height = 420;
  std::function<std::string(const Inks&)> script;  ///< after the terminal is set
};

/// Runs gnuplot once for all figures. Writes NAME.pdf into `directory` and returns the SVGs, in order. Throws
/// UserError: unavailable when gnuplot is not installed, failed with its first words when it fails.
std::vector<std::string> draw(const std::vector<Figure>& figures, const std::filesystem::path& directory);

/// The CSS variables that the SVGs' colours refer to, light and dark.
std::string ink_css();

}  // namespace fovea::report
