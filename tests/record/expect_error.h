#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace fovea::test {

/// `call` must throw a UserError with this code, whose one line contains `words`.
template <class Call>
void expect_error(ExitCode code, const std::string& words, Call call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown; wanted: " << words;
  } catch (const UserError& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_THAT(e.what(), testing::HasSubstr(words));
    EXPECT_THAT(e.what(), testing::Not(testing::HasSubstr("\n")));
  }
}

}  // namespace fovea::test
