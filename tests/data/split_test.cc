#include "data/split.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <set>

namespace fovea {
namespace {

/// One side as a list of the corpus's indices, by the words of the rule.
std::vector<int64> indices(Split::Side side, int64 tokens, int64 block, int64 every) {
  std::vector<int64> result;
  for (int64 i = 0; i < tokens / block * block; ++i)
    if ((i / block % every == 0) == (side == Split::Side::held_out)) result.push_back(i);
  return result;
}

void follows_the_rule(Split::Side side) {
  const auto tokens = *rc::gen::inRange<int64>(0, 500);
  const auto block = *rc::gen::inRange<int64>(1, 40);
  const auto every = *rc::gen::inRange<int64>(2, 25);
  const std::vector<int64> expected = indices(side, tokens, block, every);
  const Split split(side, Blocks::uniform(tokens, block), every);
  RC_ASSERT(split.tokens() == static_cast<int64>(expected.size()));
  for (int64 i = 0; i < split.tokens(); ++i) {
    const Range source = split.source(i);
    RC_ASSERT(source.begin == expected[static_cast<size_t>(i)]);
    RC_ASSERT(source.end == (source.begin / block + 1) * block);
  }
}
RC_GTEST_PROP(Split, TrainsOnAllButEveryNthBlock, ()) { follows_the_rule(Split::Side::train); }
RC_GTEST_PROP(Split, HoldsOutEveryNthBlock, ()) { follows_the_rule(Split::Side::held_out); }

void cuts_documents(Split::Side side) {
  const auto tokens = *rc::gen::inRange<int64>(1, 300);
  const auto block = *rc::gen::inRange<int64>(1, 30);
  const auto every = *rc::gen::inRange<int64>(2, 7);
  auto begins = *rc::gen::container<std::set<int64>>(rc::gen::inRange<int64>(0, tokens));
  begins.insert(0);
  const std::vector<int64> stream = indices(side, tokens, block, every);
  std::vector<int64> expected;
  for (size_t i = 0; i < stream.size(); ++i)
    if (i == 0 || stream[i] != stream[i - 1] + 1 || begins.contains(stream[i]))
      expected.push_back(static_cast<int64>(i));
  const Split split(side, Blocks::uniform(tokens, block), every);
  RC_ASSERT(split.document_starts(std::vector<int64>(begins.begin(), begins.end())) == expected);
}
RC_GTEST_PROP(Split, CutsTrainingDocumentsWhereTextWasTakenOut, ()) { cuts_documents(Split::Side::train); }
RC_GTEST_PROP(Split, CutsHeldOutDocumentsLikewise, ()) { cuts_documents(Split::Side::held_out); }

}  // namespace
}  // namespace fovea
