// Buckets are found by the number of bits of a duration; they must be those that a comparison with each bound finds.
#include "proxy/worker/counters.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

std::size_t bucket_by_comparison(std::chrono::nanoseconds duration) {
    std::size_t at = 0;
    const double seconds = std::chrono::duration<double>(duration).count();
    while (at < duration_histogram::bounds_seconds.size() && seconds > duration_histogram::bounds_seconds[at]) ++at;
    return at;
}

}  // namespace

TEST_CASE("A duration belongs to the first bucket whose bound it does not exceed") {
    CHECK(duration_histogram::bucket_of(0ns) == 0);
    CHECK(duration_histogram::bucket_of(-5ns) == 0);
    CHECK(duration_histogram::bucket_of(std::chrono::nanoseconds::max()) == duration_histogram::bounds_seconds.size());
    for (const double bound : duration_histogram::bounds_seconds) {
        const auto exact = std::chrono::nanoseconds(static_cast<std::int64_t>(bound * 1e9 + 0.5));
        for (const auto each : {exact - 1ns, exact, exact + 1ns})
            CHECK_MESSAGE(duration_histogram::bucket_of(each) == bucket_by_comparison(each), each.count());
    }
    for (std::int64_t each = 1; each < 200'000'000'000; each += each / 7 + 1)
        CHECK(duration_histogram::bucket_of(std::chrono::nanoseconds(each)) ==
              bucket_by_comparison(std::chrono::nanoseconds(each)));
}

TEST_CASE("Counts and the sum are those of what was observed") {
    duration_histogram all;
    all.observe(15us, 3);
    all.observe(2min);
    all.observe(1ms, 0);
    CHECK(all.bucket(1) == 3);
    CHECK(all.bucket(duration_histogram::bounds_seconds.size()) == 1);
    CHECK(all.sum_seconds() == doctest::Approx(120.000045));
}
