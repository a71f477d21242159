#include "record/report/gnuplot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace fovea::report {
namespace {

/// Okabe and Ito's colours (told apart with any colour vision), darkened for white and lightened for black.
struct Ink {
  std::string Inks::*member;
  const char* variable;
  const char* light;
  const char* dark;
};
const std::array kInks = {Ink{&Inks::text, "--ink", "#26292e", "#d9dbde"},
                          Ink{&Inks::faint, "--rule", "#e3e4e6", "#33373d"},
                          Ink{&Inks::mha, "--mha", "#4a4e55", "#b9bdc3"},
                          Ink{&Inks::mean, "--mean", "#0067a8", "#63b5ec"},
                          Ink{&Inks::first, "--first", "#b84a00", "#f0955c"},
                          Ink{&Inks::random, "--random", "#00805d", "#45c49b"},
                          Ink{&Inks::scratch, "--scratch", "#a34d80", "#e3a0c6"},
                          Ink{&Inks::mean_scaled, "--mean-scaled", "#4f5fd0", "#a3adf5"},
                          Ink{&Inks::aligned, "--aligned", "#7a2fb5", "#c797f0"},
                          Ink{&Inks::aligned_unscaled, "--aligned-unscaled", "#7d6200", "#d6b54a"},
                          Ink{&Inks::aligned_activations, "--aligned-activations", "#00737d", "#4fc6d2"}};

/// A colour that stands for the i-th ink until the SVG is rewritten.
std::array<int, 3> placeholder(size_t i) { return {7, 11, static_cast<int>(i) + 1}; }

Inks placeholder_inks() {
  Inks inks;
  for (size_t i = 0; i < kInks.size(); ++i) {
    const auto [r, g, b] = placeholder(i);
    inks.*kInks[i].member = fmt::format("#{:02x}{:02x}{:02x}", r, g, b);
  }
  return inks;
}

Inks paper_inks() {
  Inks inks;
  for (const Ink& ink : kInks) inks.*ink.member = ink.light;
  return inks;
}

/// Removed at the end; what a report that was killed left behind is removed by the next one, who can tell by
/// the lock that the owner of a directory holds on it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const std::filesystem::path all = std::filesystem::temp_directory_path();
    remove_abandoned(all);
    do {
      std::string name = (all / (std::string(kPrefix) + "XXXXXX")).string();
      if (!::mkdtemp(name.data())) fail_to_write(name, errno);
      path_ = name;
      lock_ = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      ::flock(lock_, LOCK_EX);
    } while (!std::filesystem::exists(path_));  // another took it for abandoned before it was locked
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    ::close(lock_);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  static constexpr std::string_view kPrefix = "fovea-report-";

  static void remove_abandoned(const std::filesystem::path& all) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(all, ignored)) {
      if (!entry.path().filename().string().starts_with(kPrefix)) continue;
      const int fd = ::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (fd < 0) continue;
      if (::flock(fd, LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(entry.path(), ignored);
      ::close(fd);
    }
  }

  std::filesystem::path path_;
  int lock_ = -1;
};

/// Exit status of `gnuplot script`; what it prints goes to `log`.
int run_gnuplot(const std::filesystem::path& script, const std::filesystem::path& log) {
  std::string program = "gnuplot", argument = script.string();
  std::array<char*, 3> argv = {program.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = -1;
  const int reason = ::posix_spawnp(&child, "gnuplot", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (reason == ENOENT)
    fail_unavailable(
        "gnuplot is not installed, and the report's figures are drawn by it; install the package "
        "gnuplot-nox");
  if (reason != 0) fail_run("gnuplot cannot be started: {}", std::strerror(reason));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

/// gnuplot's SVG as a part of a page: no XML head, names of its own, colours by variable, a text for readers.
std::string inline_svg(std::string svg, const Figure& figure) {
  const size_t begin = svg.find("<svg");
  if (begin == std::string::npos) fail_run("gnuplot drew no {}", figure.name);
  svg.erase(0, begin);
  for (size_t i = 0; i < kInks.size(); ++i) {
    const auto [r, g, b] = placeholder(i);
    const std::string variable = fmt::format("var({})", kInks[i].variable);
    // shapes and texts are written differently
    replace_all(svg, fmt::format("rgb({:3}, {:3}, {:3})", r, g, b), variable);
    replace_all(svg, fmt::format("rgb({},{},{})", r, g, b), variable);
    replace_all(svg, fmt::format("#{:02x}{:02x}{:02x}", r, g, b), variable);
    replace_all(svg, fmt::format("#{:02X}{:02X}{:02X}", r, g, b), variable);
  }
  // what gnuplot keeps clear around points, in the page's own background
  for (const char* white : {"rgb(255, 255, 255)", "rgb(255,255,255)", "#ffffff", "#FFFFFF"})
    replace_all(svg, white, "var(--paper)");
  replace_all(svg, "gpDot", figure.name + "-dot");
  replace_all(svg, "gpPt", figure.name + "-point");
  replace_all(svg, "gnuplot_", figure.name + "-");
  for (const char* kind : {"plot_", "_plot_"})
    replace_all(svg, std::string("id=\"") + kind, "id=\"" + figure.name + kind);
  const size_t title = svg.find("<title>"), desc = svg.find("</desc>");
  if (title != std::string::npos && desc != std::string::npos && title < desc)
    svg.replace(title, desc + 7 - title, "<title>" + figure.alt + "</title>");
  svg.insert(4, fmt::format(" role=\"img\" aria-label=\"{}\"", figure.alt));
  return svg;
}

}  // namespace

std::vector<std::string> draw(const std::vector<Figure>& figures, const std::filesystem::path& directory) {
  const TemporaryDirectory work;
  std::string script = "set encoding utf8\n";
  for (const Figure& f : figures) {
    script += fmt::format(
        "reset\nset terminal svg size {},{} dynamic enhanced font 'sans-serif,13' linewidth 1\n"
        "set output '{}.svg'\n{}\nset output\n",
        f.width, f.height, f.name, f.script(placeholder_inks()));
    script += fmt::format(
        "reset\nset terminal pdfcairo size {:.2f}in,{:.2f}in enhanced font 'sans-serif,10' "
        "linewidth 1\nset output '{}.pdf'\n{}\nset output\n",
        f.width / 100.0, f.height / 100.0, f.name, f.script(paper_inks()));
  }
  const std::filesystem::path file = work.path() / "figures.gp", log = work.path() / "log";
  write_file_atomically(file, fmt::format("cd '{}'\n{}", work.path().string(), script));
  if (const int status = run_gnuplot(file, log); status != 0) {
    std::string words = read_file(log);
    for (char& c : words)
      if (c == '\n' || c == '\t') c = ' ';
    fail_run("gnuplot failed with status {}: {}", status, words.substr(0, 300));
  }
  std::vector<std::string> svgs;
  for (const Figure& f : figures) {
    svgs.push_back(inline_svg(read_file(work.path() / (f.name + ".svg")), f));
    write_file_atomically(directory / (f.name + ".pdf"), read_file(work.path() / (f.name + ".pdf")));
  }
  return svgs;
}

std::string ink_css() {
  std::string light, dark;
  for (const Ink& ink : kInks) {
    light += fmt::format("{}:{};", ink.variable, ink.light);
    dark += fmt::format("{}:{};", ink.variable, ink.dark);
  }
  return fmt::format(
      ":root{{color-scheme:light dark;{}}}\n@media (prefers-color-scheme:dark){{:root{{{}}}}}\n", light,
      dark);
}

}  // namespace fovea::report
