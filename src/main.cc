#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "config/explain.h"
#include "core/build_info.h"
#include "core/error.h"
#include "core/text.h"
#include "experiments/attention_file.h"
#include "experiments/claim_files.h"
#include "experiments/describe_plan.h"
#include "experiments/devices.h"
#include "experiments/initial_model.h"
#include "experiments/inspect.h"
#include "experiments/run_study.h"
#include "experiments/score.h"
#include "experiments/train_tokenizer.h"
#include "kernels/matmul/library.h"
#include "kernels/selftest/selftest.h"
#include "record/report/report.h"
#include "record/study_index.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

int all_threads(int64 asked) {
  return static_cast<int>(asked > 0 ? asked : std::max(1u, std::thread::hardware_concurrency()));
}

// Checks that leave help texts alone.
CLI::Validator within(int64 least, int64 most) { return CLI::Range(least, most).description(""); }
CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::IsMember(std::move(words)).description("");
}

// What the subcommands take; one struct, since CLI11 binds options to places that outlive the parsing.
struct Arguments {
  std::string config, directory, source, destination, in, out, text,
      backend = "auto", instruction_set = "auto", stale = "rerun", resume = "latest";
  std::vector<std::string> overrides, command, claims;
  int64 jobs = 1, threads = 0, sequences = 8, group = 2;
  bool dry_run = false, quiet = false;
  ConvertOptions convert;
  ScoreOptions score;
  BpeTraining training;
};

ExitCode run(const Arguments& a) {
  const LoadedConfig loaded = load_config(a.config, a.overrides, read_initial_model);
  const StudyPlan plan = plan_study(loaded);
  const int64 threads = a.threads ? a.threads : loaded.config.run.threads;
  if (a.dry_run) {
    fmt::print("{}", describe_plan(plan, threads));
    return ExitCode::done;
  }
  StudyOptions options;
  options.directory = a.out.empty() ? fs::path("runs") / plan.name : fs::path(a.out);
  options.jobs = a.jobs;
  options.threads = threads;
  options.stale = a.stale == "keep" ? Stale::keep : Stale::rerun;
  options.resume = a.resume == "intact" ? ResumeFrom::intact : ResumeFrom::latest;
  options.quiet = a.quiet;
  options.command = a.command;
  return run_study(plan, options);
}

ExitCode explain_config(const Arguments& a) {
  const LoadedConfig loaded = load_config(a.config, a.overrides, read_initial_model);
  fmt::print("{}\n{}", explain(loaded),
             describe_prediction(expand(loaded).front().config, loaded.config.run.threads));
  return ExitCode::done;
}

ExitCode report(const Arguments& a) {
  std::string figures;
  for (const fs::path& file : write_report(a.directory, read_claim_files(a.claims)))
    if (file.extension() == ".html")
      fmt::print("{}\n", file.string());
    else if (file.extension() == ".md")
      fmt::print("verdicts on claims: {}\n", file.string());
    else if (file.extension() == ".pdf")
      figures += (figures.empty() ? "" : ", ") + file.stem().string();
  if (!figures.empty()) fmt::print("figures beside it, as PDF and SVG: {}\n", figures);
  return ExitCode::done;
}

void choose_instruction_set(const Arguments& a) {
  const InstructionSet set = instruction_set_named(a.instruction_set);
  use_instruction_set(set);
  limit_matrix_library(set);
}

ExitCode score_tokens(const Arguments& a) {
  ScoreOptions options = a.score;
  options.tokens = a.in;
  options.out = a.out;
  options.backend = backend_named(a.backend);
  options.threads = all_threads(a.threads);
  fmt::print("{}", score(a.source, options));
  return ExitCode::done;
}

ExitCode inspect_models(const Arguments& a) {
  InspectOptions options;
  options.text = a.text;
  options.tokens = a.in;
  options.sequences = a.sequences;
  options.group = a.group;
  options.backend = backend_named(a.backend);
  options.threads = all_threads(a.threads);
  options.command = a.command;
  fmt::print("{}", inspect_path(a.source, a.out, options));
  return ExitCode::done;
}

// Adds subcommands, all in one manner.
class Commands {
 public:
  Commands(CLI::App& app, Arguments& a, ExitCode& code) : app_(app), a_(a), code_(code) {}
  void add_studies();
  void add_models();
  void add_machine();

 private:
  template <class Action>
  CLI::App* command(const char* name, const char* what, Action action) {
    CLI::App* sub = app_.add_subcommand(name, what);
    sub->group("Commands")->footer("")->callback([this, action] { code_ = action(a_); });
    return sub;
  }
  void add_instruction_set(CLI::App* sub) {
    sub->add_option("--instruction-set", a_.instruction_set,
                    "what the kernels may be made of, as fovea devices lists it; auto (else): the widest")
        ->type_name("NAME");
  }
  void add_backend(CLI::App* sub) {
    sub->add_option("--backend", a_.backend, "auto, cpu, cuda (a GPU), naive or reference (fp64)")
        ->type_name("NAME");
    sub->add_option("--threads", a_.threads, "0: all there are")->type_name("N")->check(within(0, 4096));
  }

  CLI::App& app_;
  Arguments& a_;
  ExitCode& code_;
};

void Commands::add_studies() {
  CLI::App* sub =
      command("run", "Run the experiments of a configuration; what is finished is not repeated", run);
  sub->add_option("CONFIG", a_.config, "TOML file (docs/config.md)")->required();
  sub->add_option("key=value", a_.overrides, "value that stands over the file's: train.lr=1e-3");
  sub->add_option("--out", a_.out, "directory of the study; else runs/NAME")->type_name("DIR");
  sub->add_option("--jobs", a_.jobs, "runs side by side, sharing the threads; else 1")
      ->type_name("N")
      ->check(within(1, 1024));
  sub->add_option("--threads", a_.threads, "of all jobs together; 0: all there are")
      ->type_name("N")
      ->check(within(0, 4096));
  sub->add_option("--stale", a_.stale, "results of older arithmetic: rerun (else) or keep")
      ->type_name("WHICH")
      ->check(one_of({"rerun", "keep"}));
  sub->add_option("--resume", a_.resume,
                  "checkpoint to go on from: latest (else), or intact, the latest that is whole")
      ->type_name("WHICH")
      ->check(one_of({"latest", "intact"}));
  sub->add_flag("--dry-run", a_.dry_run, "list the runs with parameters, tokens, predicted memory and FLOPs");
  sub->add_flag("--quiet", a_.quiet, "print nothing but errors");

  sub = command("explain", "Show every effective value, where it came from, and what training will take",
                explain_config);
  sub->add_option("CONFIG", a_.config, "TOML file (docs/config.md)")->required();
  sub->add_option("key=value", a_.overrides, "value that stands over the file's: train.lr=1e-3");

  sub = command("status", "Show the runs of a study, also while it runs", [](const Arguments& a) {
    fmt::print("{}", status_table(a.directory));
    return ExitCode::done;
  });
  sub->add_option("DIR", a_.directory, "directory of a study")->required();

  sub = command("report", "Draw a study's figures: one HTML page, and PDFs", report);
  sub->add_option("DIR", a_.directory, "directory of a study")->required();
  sub->add_option("--claims", a_.claims,
                  "published claims to judge (docs/claims.md); else those that the study names")
      ->type_name("FILE...");
}

void Commands::add_models() {
  CLI::App* sub = command("convert",
                          "Write a model as a Hugging Face folder or fovea's own file, with fewer KV "
                          "heads if asked",
                          [](const Arguments& a) {
                            ConvertOptions options = a.convert;
                            options.threads = all_threads(a.threads);
                            fmt::print("{}", convert_model(a.source, a.destination, options));
                            return ExitCode::done;
                          });
  sub->add_option("SRC", a_.source,
                  "a run's directory, model.safetensors, Hugging Face folder, or file of llm.c or llama2.c")
      ->required();
  sub->add_option("DST", a_.destination,
                  "a name that ends in .safetensors: fovea's file; any other: a Hugging Face folder")
      ->required();
  sub->add_option("--kv-heads", a_.convert.kv_heads, "KV heads of the result; 0 (else): as many as there are")
      ->type_name("G")
      ->check(within(0, 65536));
  sub->add_option("--init", a_.convert.init,
                  "how a group of heads becomes one: mean (else), as init.conversion")
      ->type_name("HOW")
      ->check(one_of({"mean", "mean_scaled", "first", "random", "aligned", "aligned_unscaled"}));
  sub->add_option("--seed", a_.convert.seed, "of the random draws; else 0")->type_name("N");
  sub->add_option("--format", a_.convert.format, "fovea or hugging_face; else by DST's name")
      ->type_name("WHICH")
      ->check(one_of({"fovea", "hugging_face"}));
  sub->add_option("--dtype", a_.convert.dtype, "f32, bf16 or f16; else as the weights are stored")
      ->type_name("NAME")
      ->check(one_of({"f32", "bf16", "f16"}));
  sub->add_option("--shard-size", a_.convert.shard_size, "largest file of a folder; else 5 GiB")
      ->type_name("SIZE");

  sub = command("train-tokenizer", "Train a byte-pair encoding on text and write it as tokenizer.json",
                [](const Arguments& a) {
                  fmt::print("{}", train_tokenizer(a.source, a.destination, a.training));
                  return ExitCode::done;
                });
  sub->add_option("CORPUS", a_.source, "kjv, or a text file, a folder or a glob, as data.corpus")->required();
  sub->add_option("DST", a_.destination, "tokenizer.json to write")->required();
  sub->add_option("--vocab", a_.training.vocabulary, "tokens, the 256 bytes and <|endoftext|> among them")
      ->type_name("N")
      ->required()
      ->check(within(257, 1 << 20));
  sub->add_option("--pattern", a_.training.pattern, "how text is cut into words: gpt2 (else) or llama3")
      ->type_name("NAME")
      ->check(one_of({"gpt2", "llama3"}));

  sub = command("score", "Write a model's log-probabilities, loss, logits and gradients of given tokens",
                score_tokens);
  sub->add_option("MODEL", a_.source, "a run's directory, model.safetensors, or a Hugging Face folder")
      ->required();
  sub->add_option("--tokens", a_.in, "HDF5 file with tokens (B, T), .bin token file, or text")
      ->type_name("FILE")
      ->required();
  sub->add_option("--out", a_.out, "HDF5 file to write")->type_name("FILE")->required();
  sub->add_flag("--logits", a_.score.logits, "write the logits (B, T, V) too");
  sub->add_flag("--grads", a_.score.gradients,
                "write the gradients of the loss by every parameter, and their norm");
  sub->add_option("--length", a_.score.length,
                  "tokens of the sequences that .bin files and text are cut into; else the model's context")
      ->type_name("T")
      ->check(within(2, 1 << 24));
  add_backend(sub);

  sub = command("inspect", "Say what a model's attention heads do, and how large scores and gradients are",
                inspect_models);
  sub->add_option("MODEL", a_.source, "as for score, or a study's directory: all its models")->required();
  sub->add_option("--out", a_.out, "HDF5 file to write; else inspect.h5 in a run's directory")
      ->type_name("FILE");
  CLI::Option* text = sub->add_option("--text", a_.text, "file to read as bytes; else what the run held out")
                          ->type_name("FILE");
  sub->add_option("--tokens", a_.in, "or an HDF5 file with tokens (B, T)")->type_name("FILE")->excludes(text);
  sub->add_option("--sequences", a_.sequences, "of the text to read; else 8")
      ->type_name("N")
      ->check(within(1, 1 << 20));
  sub->add_option("--group", a_.group, "KV heads of a would-be group, for their cosines; else 2")
      ->type_name("G")
      ->check(within(2, 65536));
  add_backend(sub);
}

void Commands::add_machine() {
  CLI::App* sub =
      command("attention", "Solve one attention problem, forward and backward", [](const Arguments& a) {
        choose_instruction_set(a);
        run_attention_file(a.in, a.out, backend_named(a.backend), all_threads(a.threads));
        return ExitCode::done;
      });
  sub->add_option("IN", a_.in, "HDF5 file with q, k, v ...")->required();
  sub->add_option("--out", a_.out, "HDF5 file to write")->type_name("FILE")->required();
  add_backend(sub);
  add_instruction_set(sub);

  sub = command("selftest", "Hold every operation of a backend to the fp64 oracle on this machine",
                [](const Arguments& a) {
                  choose_instruction_set(a);
                  return selftest(a.backend, all_threads(a.threads));
                });
  add_backend(sub);
  add_instruction_set(sub);

  command("devices", "Say which backends, instruction sets, threads, GPUs and launchers are there",
          [](const Arguments&) {
            fmt::print("{}", describe_devices());
            return ExitCode::done;
          });
}

void set_texts(CLI::App& app) {
  const auto format = std::make_shared<CLI::Formatter>();
  for (const char* noise : {"TEXT", "INT", "REQUIRED"}) format->label(noise, "");
  format->label("SUBCOMMAND", "COMMAND");
  format->label("Positionals", "Arguments");
  format->column_width(20);
  app.formatter(format);
  app.set_help_flag("-h,--help", "print this and exit");
  app.set_version_flag(
      "--version", [] { return version_text(); }, "print version, compiler and features");
  app.footer("fovea COMMAND --help says what a command takes.");
}

// One line for whatever CLI11 refused; word: the first of the command line.
[[noreturn]] void refuse(CLI::App& app, const CLI::ParseError& error, const std::string& word) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  if (!parsed.empty()) fail_usage("{}; see fovea {} --help", error.what(), parsed.front()->get_name());
  if (word.empty()) fail_usage("a command is missing; see fovea --help");
  if (word.starts_with('-')) fail_usage("there is no option {}; see fovea --help", word);
  for (const CLI::App* sub : app.get_subcommands([](CLI::App*) { return true; }))
    if (edits(word, sub->get_name()) <= 2)
      fail_usage("there is no command {}: did you mean {}?", word, sub->get_name());
  fail_usage("there is no command {}; see fovea --help", word);
}

ExitCode main_or_throw(int argc, char** argv) {
  CLI::App app("fovea: the bench on which attention mechanisms are trained, measured and compared", "fovea");
  Arguments arguments;
  arguments.command.assign(argv, argv + argc);
  arguments.command[0] = "fovea";  // not where it lies
  ExitCode code = ExitCode::done;
  set_texts(app);
  app.require_subcommand(1);
  Commands commands(app, arguments, code);
  commands.add_studies();
  commands.add_models();
  commands.add_machine();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {  // --help, --version
    app.exit(help);
  } catch (const CLI::ParseError& error) {
    refuse(app, error, argc > 1 ? argv[1] : "");
  }
  return code;
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  try {
    return static_cast<int>(fovea::main_or_throw(argc, argv));
  } catch (const fovea::UserError& error) {
    fmt::print(stderr, "fovea: {}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::filesystem::filesystem_error& error) {  // a name too long, links in a circle
    fmt::print(stderr, "fovea: {}: {}\n", fovea::on_one_line(error.path1().string()), error.code().message());
    return static_cast<int>(fovea::ExitCode::input);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "fovea: this takes more memory than there is: see fovea explain\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "fovea: {}\n", error.what());
  }
  return static_cast<int>(fovea::ExitCode::failed);
}
