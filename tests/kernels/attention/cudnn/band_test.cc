#include "kernels/attention/cudnn/band.h"

#include <gtest/gtest.h>

#include "kernels/attention/attention.h"

namespace fovea::cudnn {
namespace {

// By the definition of mask.h.
bool sees(const SequenceMask& m, int64 i, int64 j) {
  const int64 p = i + m.q_start;
  return (!m.causal || j <= p) && (m.left < 0 || j >= p - m.left) && (m.right < 0 || j <= p + m.right);
}

bool has_blind_row(const SequenceMask& m) {
  for (int64 i = 0; i < m.q_len; ++i) {
    int64 seen = 0;
    for (int64 j = 0; j < m.kv_len; ++j) seen += sees(m, i, j);
    if (seen == 0) return true;
  }
  return false;
}

void expect_the_same_pairs(const SequenceMask& m, const Band& band) {
  for (int64 i = 0; i < m.q_len; ++i)
    for (int64 j = 0; j < m.kv_len; ++j)
      ASSERT_EQ(band.sees(i, j, m.q_len, m.kv_len), sees(m, i, j))
          << i << " " << j << " of " << m.q_len << "x" << m.kv_len << " causal " << m.causal << " left "
          << m.left << " right " << m.right << " q_start " << m.q_start;
}

TEST(CudnnBand, ShowsWhatTheMaskShowsPairByPair) {
  int64 found = 0, refused = 0;
  for (int64 q_len = 1; q_len <= 6; ++q_len)
    for (int64 kv_len = 1; kv_len <= 7; ++kv_len)
      for (int64 q_start = -3; q_start <= 8; ++q_start)
        for (const bool causal : {false, true})
          for (int64 left = -1; left <= 4; ++left)
            for (int64 right = -1; right <= 3; ++right) {
              const SequenceMask m{causal, left, right, q_len, kv_len, q_start};
              const BandSearch search = find_band(m);
              ASSERT_EQ(search.band.has_value(), search.why_not.empty());
              ++(search.band ? found : refused);
              if (search.band) {
                ASSERT_FALSE(has_blind_row(m));
                // What cuDNN's frontend asks for.
                ASSERT_TRUE(!search.band->right || *search.band->right >= 0);
                ASSERT_TRUE(!search.band->left || *search.band->left >= 1);
                ASSERT_TRUE(search.band->diagonal == Diagonal::top_left || kv_len > q_len);
                expect_the_same_pairs(m, *search.band);
              } else {
                // Where the sequences end together, rows without a key are the only reason.
                ASSERT_TRUE(has_blind_row(m) || q_start != kv_len - q_len);
              }
            }
  EXPECT_GT(found, 5000);
  EXPECT_GT(refused, 5000);
}

// TransformerEngine #1197, #1212: a window of W keys is cuDNN's left bound W, not W - 1.
TEST(CudnnBand, AWindowCountsTheQuerysOwnKey) {
  for (const int64 window : {1, 2, 3}) {
    const SequenceMask square = sequence_mask(sliding_window_mask(window), 9, 9, 0),
                       longer = sequence_mask(sliding_window_mask(window), 9, 14, 5);
    EXPECT_EQ(find_band(square).band, (Band{Diagonal::top_left, window, 0}));
    EXPECT_EQ(find_band(longer).band, (Band{Diagonal::bottom_right, window, 0}));
    expect_the_same_pairs(longer, *find_band(longer).band);
  }
}

// TransformerEngine #3532: a window of (-1, 0) is causal, and no empty band.
TEST(CudnnBand, AnUnboundedSideIsNoBound) {
  EXPECT_EQ(find_band({false, -1, 0, 9, 9, 0}).band, (Band{Diagonal::top_left, std::nullopt, 0}));
  EXPECT_EQ(find_band({true, -1, -1, 9, 9, 0}).band, (Band{Diagonal::top_left, std::nullopt, 0}));
  EXPECT_EQ(find_band({false, 2, -1, 9, 12, 3}).band, (Band{Diagonal::bottom_right, 3, std::nullopt}));
}

// TransformerEngine #629: attention of a decoder to an encoder has no mask, whatever the lengths.
TEST(CudnnBand, CrossAttentionHasNone) {
  EXPECT_EQ(find_band({false, -1, -1, 9, 5, -4}).band, Band{});
  EXPECT_EQ(find_band({false, -1, -1, 5, 9, 4}).band, Band{});
}

TEST(CudnnBand, BoundsThatHideNothingAreLeftOut) {
  EXPECT_EQ(find_band({true, -1, -1, 1, 500, 499}).band, Band{}) << "a query at the end sees all keys";
  EXPECT_EQ(find_band({true, 8, -1, 9, 9, 0}).band, (Band{Diagonal::top_left, std::nullopt, 0}));
  EXPECT_EQ(find_band({true, 7, -1, 9, 9, 0}).band, (Band{Diagonal::top_left, 8, 0}));
}

TEST(CudnnBand, RefusesRowsThatSeeNoKey) {
  EXPECT_NE(find_band({true, -1, -1, 9, 5, -4}).why_not.find("no key"), std::string::npos);
  EXPECT_FALSE(find_band({true, -1, -1, 5, 0, -5}).band);
  EXPECT_FALSE(find_band({false, -1, -1, 0, 5, 5}).band);
}

}  // namespace
}  // namespace fovea::cudnn
