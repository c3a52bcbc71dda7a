// The small parts of `common`: each behaviour that other rooms lean on.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <future>
#include <string>
#include <vector>

#include "common/bounded_queue.h"
#include "common/ids.h"
#include "common/random.h"
#include "common/series.h"
#include "common/shm_name.h"
#include "common/sketch.h"
#include "common/stats.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "common/utf8.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;

absl::StatusOr<int> Half(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError("odd");
  return x / 2;
}
absl::StatusOr<int> Quarter(int x) {
  ASSIGN_OR_RETURN(const int half, Half(x));
  ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}
absl::Status OnlyQuarters(int x) {
  RETURN_IF_ERROR(Quarter(x));
  return absl::OkStatus();
}

TEST(Status, MacrosPassValuesAndErrors) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_TRUE(OnlyQuarters(8).ok());
  EXPECT_FALSE(OnlyQuarters(7).ok());
}

TEST(Status, ContextStandsInFront) {
  EXPECT_EQ(Annotate(absl::NotFoundError("no"), "here").message(), "here: no");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "here").ok());
}

TEST(Time, FormatsForPeople) {
  EXPECT_EQ(FormatDuration(12), "12 ns");
  EXPECT_EQ(FormatDuration(230 * kMillisecond), "230 ms");
  EXPECT_EQ(FormatDuration(1500 * kMillisecond), "1.5 s");
  EXPECT_EQ(FormatDuration(75 * kSecond), "1 min 15 s");
  EXPECT_EQ(FormatUnixTime(0), "1970-01-01T00:00:00Z");
}

TEST(Ids, DisplayNamesTheCluster) {
  EXPECT_EQ(DisplayRun("0123456789abcdef", RunId{17}), "01234567-r17");
  EXPECT_EQ(DisplayJob("0123456789abcdef", JobId{3}), "01234567-j3");
  EXPECT_EQ(RandomHex(16).size(), 32U);
  EXPECT_NE(RandomHex(16), RandomHex(16));
}

TEST(RandomTest, TheStreamOfASeedNeverChanges) {
  // Pinned: stored runs reproduce only while these hold.
  Random random(1, 2);
  const uint64_t first = random.Next();
  Random again(1, 2);
  EXPECT_EQ(again.Next(), first);
  EXPECT_NE(Random(1, 3).Next(), first);
  EXPECT_NE(Random(2, 2).Next(), first);
  EXPECT_EQ(Mix64(0), 0xe220a8397b1dcdafULL);
}

TEST(RandomTest, RangesAndMeansAreRight) {
  Random random(7, 0);
  double sum = 0;
  std::vector<int> seen(3, 0);
  constexpr int kDraws = 30000;
  for (int i = 0; i < kDraws; ++i) {
    sum += random.Exponential(2.0);
    ++seen[random.Between(5, 7) - 5];
  }
  EXPECT_NEAR(sum / kDraws, 2.0, 0.06);
  for (int n : seen) EXPECT_NEAR(n, kDraws / 3, 300);
  EXPECT_EQ(random.Between(4, 4), 4U);
}

TEST(Sketch, StaysWithinItsStatedError) {
  QuantileSketch sketch(0.01);
  std::vector<double> values;
  Random random(3, 0);
  for (int i = 0; i < 20000; ++i) values.push_back(std::exp(random.Uniform() * 12 - 4));
  for (double v : values) sketch.Add(v);
  std::sort(values.begin(), values.end());
  for (double q : {0.0, 0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = *NearestRank(values, q);
    EXPECT_NEAR(*sketch.Quantile(q), exact, exact * 0.0101) << q;
  }
}

TEST(Sketch, MergingIsAdding) {
  QuantileSketch a, b, both;
  for (int i = 1; i < 500; ++i) {
    (i % 3 == 0 ? a : b).Add(i * 0.37);
    both.Add(i * 0.37);
  }
  b.Add(0);
  both.Add(0);
  ASSERT_TRUE(a.Merge(b));
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.counts(), both.counts());
  EXPECT_EQ(a.zero_count(), 1U);
  EXPECT_FALSE(a.Merge(QuantileSketch(0.02)));
}

TEST(Sketch, EmptyIsMissingAndBucketsAreBounded) {
  QuantileSketch sketch(0.001);
  EXPECT_FALSE(sketch.Quantile(0.5).has_value());
  for (double v = 1e-8; v < 1e12; v *= 1.003) sketch.Add(v);
  EXPECT_LE(sketch.counts().size(), QuantileSketch::kMaxBuckets);
  EXPECT_NEAR(*sketch.Quantile(1.0), 1e12, 5e9);
}

TEST(Sketch, RebuildsFromItsParts) {
  QuantileSketch sketch;
  for (int i = 0; i < 100; ++i) sketch.Add(i);
  const QuantileSketch copy(sketch.relative_error(), sketch.zero_count(), sketch.first_bucket(),
                            sketch.counts());
  EXPECT_EQ(copy.count(), sketch.count());
  EXPECT_EQ(copy.Quantile(0.9), sketch.Quantile(0.9));
}

TEST(Stats, NearestRankByHand) {
  const std::vector<double> values = {10, 20, 30, 40};
  EXPECT_EQ(*NearestRank(values, 0.5), 20);
  EXPECT_EQ(*NearestRank(values, 0.51), 30);
  EXPECT_EQ(*NearestRank(values, 1.0), 40);
  EXPECT_EQ(*NearestRank(values, 0.0), 10);
}

TEST(Stats, EmptyIsMissingNotZero) {
  EXPECT_FALSE(NearestRank({}, 0.5).has_value());
  EXPECT_FALSE(Mean({}).has_value());
  EXPECT_FALSE(StandardDeviation({1.0}).has_value());
  EXPECT_DOUBLE_EQ(*StandardDeviation({2, 4, 4, 4, 5, 5, 7, 9}), std::sqrt(32.0 / 7));
}

TEST(Series, TheTableIsWholeAndNamesAreUnique) {
  for (uint16_t i = 0; i < static_cast<uint16_t>(SeriesId::kCount); ++i) {
    const SeriesInfo& info = Describe(static_cast<SeriesId>(i));
    ASSERT_EQ(FindSeries(info.name), static_cast<SeriesId>(i)) << info.name;
    EXPECT_FALSE(info.unit.empty()) << info.name;
  }
  EXPECT_FALSE(FindSeries("step.nothing").has_value());
}

TEST(Text, HostileBytesLoseTheirPower) {
  EXPECT_EQ(EscapeControl("a\x1b[2Jb\n"), "a\\x1b[2Jb\\n");
  EXPECT_EQ(EscapeControl("\xc2\x9b"), "\\x9b");
  EXPECT_EQ(EscapeControl("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(EscapeControl(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(EscapeControl("\xe2\x80\xae"
                          "exe.txt"),
            "\\u{202e}exe.txt");  // right to left
  EXPECT_EQ(EscapeControl("\xef\xbb\xbf\xef\xbf\xbf"), "\\u{feff}\\u{ffff}");
  EXPECT_EQ(EscapeControl("\xe2\x82\xac \xf0\x9f\x98\x80"), "\xe2\x82\xac \xf0\x9f\x98\x80");
  // No UTF-8: cut off, overlong, a surrogate, too large, a continuation alone.
  EXPECT_EQ(EscapeControl("\xe2\x82"), "\\xe2\\x82");
  EXPECT_EQ(EscapeControl("\xc0\xaf"), "\\xc0\\xaf");
  EXPECT_EQ(EscapeControl("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(EscapeControl("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(EscapeControl("\xe0\x80\x80"
                          "a"),
            "\\xe0\\x80\\x80"
            "a");
  EXPECT_EQ(EscapeControl("\x9b"), "\\x9b");
  EXPECT_EQ(EscapeHtml("\xe2\x80\xae\xff\xc2\x9b"), "\\u{202e}\\xff\\x9b");
  EXPECT_EQ(EscapeHtml("</script><img onerror='x'>\x1b"),
            "&lt;/script&gt;&lt;img onerror=&#39;x&#39;&gt;\\x1b");
}

TEST(Text, IsCutBetweenCharactersOnly) {
  const std::string text = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z";  // of 1, 2, 3, 4, 1 bytes
  const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (size_t bytes = 0; bytes < std::size(want); ++bytes) {
    const std::string_view cut = CutUtf8(text, bytes);
    EXPECT_EQ(cut, std::string_view(text).substr(0, want[bytes])) << bytes;
    EXPECT_TRUE(IsUtf8(cut)) << bytes;
  }
  EXPECT_FALSE(IsUtf8(text.substr(0, 2)));
  EXPECT_FALSE(IsUtf8("\xff"));
  EXPECT_FALSE(IsUtf8("ok \xed\xa0\x80"));
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8(std::string_view("a\0b", 3)));
}

TEST(Text, NearestFindsSlipsAndNothingElse) {
  const std::vector<std::string> words = {"duration", "rate", "arrivals"};
  EXPECT_EQ(Nearest("duraton", words), "duration");
  EXPECT_EQ(Nearest("raet", words), "rate");
  EXPECT_EQ(Nearest("completely-else", words), "");
}

TEST(Text, FormatsForPeople) {
  EXPECT_EQ(FormatBytes(640), "640 B");
  EXPECT_EQ(FormatBytes(1.5 * 1024 * 1024 * 1024), "1.5 GiB");
  EXPECT_EQ(FormatCount(1234), "1.23k");
  EXPECT_EQ(FormatCount(12), "12");
}

TEST(BoundedQueueTest, RefusesAndCountsAtItsBound) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_FALSE(queue.TryPush(3));
  EXPECT_EQ(queue.refused(), 1U);
  EXPECT_THAT(queue.PopUpTo(1, 0), ElementsAre(1));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(4));
  EXPECT_THAT(queue.PopUpTo(9, 0), ElementsAre(2));
  EXPECT_TRUE(queue.PopUpTo(9, kSecond).empty());
}

// An hour is never waited for here: who gathers is woken by each of these.
TEST(BoundedQueueTest, GathersPatientItemsUntilSomethingIsUrgentOrThereAreEnough) {
  constexpr Nanos kHour = 3600 * kSecond;
  BoundedQueue<int> queue(9);
  EXPECT_TRUE(queue.TryPush(1, true));
  EXPECT_TRUE(queue.TryPush(2));
  EXPECT_THAT(queue.PopUpTo(9, 0, kHour), ElementsAre(1, 2));
  for (int i = 3; i <= 5; ++i) EXPECT_TRUE(queue.TryPush(int{i}, true));
  EXPECT_THAT(queue.PopUpTo(2, 0, kHour), ElementsAre(3, 4));
  EXPECT_THAT(queue.PopUpTo(9, 0), ElementsAre(5));
  EXPECT_TRUE(queue.PopUpTo(9, 0, kHour).empty());
  EXPECT_TRUE(queue.TryPush(6, true));
  EXPECT_THAT(queue.PopUpTo(9, 0, 1), ElementsAre(6));

  const auto popped = [&](size_t max) {
    return std::async(std::launch::async,
                      [&queue, max] { return queue.PopUpTo(max, kHour, kHour); });
  };
  auto some = popped(3);
  for (int i = 7; i <= 9; ++i) EXPECT_TRUE(queue.TryPush(int{i}, true));
  EXPECT_THAT(some.get(), ElementsAre(7, 8, 9));
  auto urgent = popped(9);
  EXPECT_TRUE(queue.TryPush(10, true));
  EXPECT_TRUE(queue.TryPush(11));
  EXPECT_THAT(urgent.get(), ElementsAre(10, 11));
  auto last = popped(9);
  EXPECT_TRUE(queue.TryPush(12, true));
  queue.Close();
  EXPECT_THAT(last.get(), ElementsAre(12));
}

TEST(SegmentName, NothingElseIsOurs) {
  EXPECT_TRUE(IsSegmentName("/rackmark-00ff"));
  for (const char* name : {"", "/", "/rackmark-", "rackmark-00ff", "/rackmark-00ff/x", "/sem.x",
                           "/rackmark-..", "/rackmark-00FF", "/postgres-00ff"}) {
    EXPECT_FALSE(IsSegmentName(name)) << name;
  }
}

}  // namespace
}  // namespace rackmark
