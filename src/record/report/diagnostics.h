#pragma once

#include <functional>
#include <string>
#include <vector>

#include "record/report/figures.h"

namespace fovea::report {

/// Runs of one group that `fovea inspect` has looked at, in the order of the study.
struct Inspected {
  const Group* group = nullptr;
  std::vector<const Run*> runs;
  std::string name;   ///< what tells it from the others, for a figure
  std::string cited;  ///< the same as HTML
  const Inspection& first() const { return *runs.front()->inspection; }
};
std::vector<Inspected> inspected_groups(const Study& study);

/// Numbers (layers, columns) of an inspection, and where they lie in its file.
struct Statistic {
  std::string path;                                                     ///< "/initial/attention/saturated"
  std::function<const std::vector<double>*(const Inspection&)> values;  ///< null: not there
};
Statistic head_statistic(std::vector<double> HeadStatistics::*member, bool initial = false);
Statistic gradient_statistic(std::vector<double> GradientNorms::*member, bool initial = false);
Statistic cosine_statistic(std::vector<double> GroupCosines::*member);

/// One number of one run; what is not there or not a number is NaN.
Datum datum_of(const Run& run, const Statistic& statistic, int64 layer, int64 column);
/// A layer's numbers over all columns and all runs of a group; what is not a number is left out.
Sample layer_sample(const Inspected& of, const Statistic& statistic, int64 layer);
/// The same over all layers.
Sample whole_sample(const Inspected& of, const Statistic& statistic);

/// A table cell with the number of a layer (or head), from the file's dimension scale.
std::string index_cell(const Run& run, const char* scale, int64 index);

/// What heads do, how scores and gradients fare, how alike KV heads are: the figures that the study's
/// inspections give; none where there are none.
std::vector<Shown> diagnostic_figures(const Study& study);
Shown heads_figure(const std::vector<Inspected>& groups);
Shown scores_figure(const std::vector<Inspected>& groups);
Shown cosines_figure(const Inspected& of);

/// What inspections say of how plain runs' scores fare, each a sentence or two of HTML.
void score_findings(const Study& study, std::vector<std::string>& out);

}  // namespace fovea::report
