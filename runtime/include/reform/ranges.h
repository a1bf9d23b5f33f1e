// The numbers that options may hold, both ends included. The library refuses others (kUsage), and so does the command.
#pragma once

#include <cstdint>

namespace reform {

template <class Number>
struct Range {
  Number least, most;
  constexpr bool holds(Number value) const { return value >= least && value <= most; }  // never NaN
};

namespace ranges {

inline constexpr Range<int64_t> kThreads{0, 1024};  // 0: one per core
inline constexpr Range<int64_t> kMaxMemoryBytes{0, int64_t{1} << 50};
inline constexpr Range<int64_t> kMaxStoreBytes{0, int64_t{1} << 60};
// Of ingest. What is chosen by itself is 0 there.
inline constexpr Range<int64_t> kChunkTokens{64, 65'536};
inline constexpr Range<int64_t> kCacheTokens{64, 1 << 20};
inline constexpr Range<int64_t> kSinkTokens{0, 1 << 19};  // and at most half of the cache
inline constexpr Range<int64_t> kOverlapTokens{0, 65'536};
inline constexpr Range<double> kCheckpointSeconds{0, 86'400};
// Of ask and search. What is chosen by itself is GatherOptions::kAuto there.
inline constexpr Range<int64_t> kGatherTokens{0, 1 << 20};
inline constexpr Range<int64_t> kEdgeTokens{0, 1 << 16};
inline constexpr Range<int64_t> kRounds{1, 2};
inline constexpr Range<int64_t> kPoolWindow{1, 4095};      // odd
inline constexpr Range<int64_t> kReadTokens{64, 1 << 20};  // of oprm at a time
// Of decoding.
inline constexpr Range<double> kTemperature{0, 100};
inline constexpr Range<int64_t> kTopLogprobs{-1, 20};  // -1: none are wanted
inline constexpr Range<int64_t> kTopK{0, int64_t{1} << 31};
inline constexpr Range<double> kShare{0, 1};  // top-p, min-p
inline constexpr Range<int64_t> kNewTokens{0, 1 << 20};
inline constexpr Range<int64_t> kThinkTokens{0, 1 << 20};
inline constexpr Range<int64_t> kStopTexts{0, 16};
inline constexpr Range<int64_t> kStopBytes{1, 4096};
// Of a search for heads.
inline constexpr Range<int64_t> kHeadQuestions{0, 1 << 20};  // 0: all
inline constexpr Range<double> kHeadMinutes{0, 1e5};         // 0: as many as it takes

}  // namespace ranges
}  // namespace reform
