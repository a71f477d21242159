#include "record/foreign_hdf5.h"

#include <sys/mman.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "core/file.h"
#include "expect_error.h"
#include "record/hdf5.h"
#include "synthetic.h"

namespace fovea::h5 {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

class Rehearsal : public testing::Test {
 protected:
  Rehearsal() { write_file_atomically(file_, "of a few bytes"); }
  TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "x.h5";
};

TEST_F(Rehearsal, EndsWhereTheReaderWouldEndTheProcess) {
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGKILL})
    expect_error(ExitCode::input, "x.h5: HDF5's library breaks down",
                 [&] { rehearse(file_, [&] { std::raise(signal); }); });
  expect_error(ExitCode::input, "the file is damaged", [&] { rehearse(file_, [] { _exit(3); }); });
}

TEST_F(Rehearsal, SaysWhatTheReaderSays) {
  rehearse(file_, [] {});
  expect_error(ExitCode::usage, "refused",
               [&] { rehearse(file_, [] { throw UserError(ExitCode::usage, "refused"); }); });
  expect_error(ExitCode::input, "x.h5: what it claims to hold does not fit into memory",
               [&] { rehearse(file_, [] { throw std::bad_alloc(); }); });
  rehearse(directory_ / "absent", [] { std::abort(); });  // for the reading itself to tell
}

TEST_F(Rehearsal, IsInAProcessOfItsOwn) {
  int here = 0;
  void* const shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* const there = static_cast<int*>(shared);
  rehearse(file_, [&] { here = *there = 1; });
  EXPECT_EQ(here, 0);
  EXPECT_EQ(*there, 1);
  munmap(shared, 4096);
}

}  // namespace
}  // namespace fovea::h5
