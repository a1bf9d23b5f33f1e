#include "tools/progress.h"

#include <catch2/catch.hpp>

using namespace reform;
using namespace reform::tool;
using namespace std::chrono_literals;

namespace {

struct Screen {
  std::string bytes;
  std::chrono::steady_clock::time_point now{1h};
  int columns = 40;

  ProgressLine line(bool live) {
    return ProgressLine(
        live, [this] { return columns; }, [this](const std::string& b) { bytes += b; }, [this] { return now; });
  }
  std::string take() { return std::exchange(bytes, ""); }
};

IngestProgress example() {
  IngestProgress p;
  p.tokens_done = 12345, p.tokens_saved = 8192, p.tokens_total = 100000;
  p.tokens_per_s = 1480.4, p.eta_s = 59.2, p.host_bytes = int64_t(512) << 20;
  p.phase = "compress";
  return p;
}

}  // namespace

TEST_CASE("the ingest line shows everything where there is room, and the important part where there is not",
          "[tools]") {
  const std::string whole = "12,345 / 100,000 tokens  12 %  1,480 tokens/s  ETA 59.2 s  memory 512.0 MiB  saved 8,192";
  CHECK(ingest_line(example(), 120) == whole);
  for (int columns = 0; columns <= 120; ++columns) {
    const std::string line = ingest_line(example(), columns);
    INFO(columns << ": " << line);
    CHECK(int(line.size()) <= columns);
    CHECK(whole.rfind(line, 0) == 0);
  }
  CHECK(ingest_line(example(), 44) == "12,345 / 100,000 tokens  12 %");
}

TEST_CASE("the ingest line survives an unknown or too small total", "[tools]") {
  IngestProgress p = example();
  p.tokens_total = 0, p.eta_s = -1;
  CHECK(ingest_line(p, 120) == "12,345 tokens  1,480 tokens/s  memory 512.0 MiB  saved 8,192");
  p = example();
  p.tokens_total = 12000;
  CHECK(ingest_line(p, 30) == "12,345 / 12,345 tokens  100 %");
  p.phase = "heads";
  CHECK(ingest_line(p, 32) == "heads: 12,345 / 12,345 tokens");
}

TEST_CASE("on a terminal one line is redrawn in place and stays narrower than the terminal", "[tools]") {
  Screen screen;
  ProgressLine line = screen.line(true);
  int asked = 0;
  const auto make = [&](int columns) { return asked = columns, std::string("one"); };
  line.update(make);
  CHECK(asked == 39);
  CHECK(screen.take() == "one");
  screen.now += 50ms;
  line.update(make);
  CHECK(screen.take().empty());  // too soon for another line
  screen.now += 51ms;
  screen.columns = 20;
  line.update(make);
  CHECK(asked == 19);
  CHECK(screen.take() == "\r\x1b[2Kone");
  line.remark("a remark");
  CHECK(screen.take() == "\r\x1b[2Ka remark\none");
  line.clear();
  CHECK(screen.take() == "\r\x1b[2K");
  line.clear();
  CHECK(screen.take().empty());
}

TEST_CASE("elsewhere there are plain lines, seconds apart, and no escape sequences", "[tools]") {
  Screen screen;
  ProgressLine line = screen.line(false);
  const auto make = [&](int) { return std::string("p"); };
  for (int i = 0; i < 121; ++i, screen.now += 100ms) line.update(make);
  line.phase("query");
  line.clear();
  CHECK(screen.take() == "p\np\np\n");
}

TEST_CASE("quiet leaves errors only", "[tools]") {
  for (const bool live : {false, true}) {
    Screen screen;
    ProgressLine line = screen.line(live);
    line.set_quiet(true);
    line.update([](int) { return std::string("p"); });
    line.phase("query");
    line.remark("r");
    CHECK(screen.take().empty());
    line.always("reform: error: e");
    CHECK(screen.take() == "reform: error: e\n");
  }
}
