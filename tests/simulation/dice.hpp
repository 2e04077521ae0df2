// All chance of a simulated run: the same seed gives the same run on every machine. Not the standard library's
// distributions, whose results differ between implementations.
#pragma once

#include <cstdint>

namespace pgsteady::simulation {

class dice {
public:
    explicit dice(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 0xD1B54A32D192ED03U) {}

    /// splitmix64.
    std::uint64_t next() {
        std::uint64_t mixed = (state_ += 0x9E3779B97F4A7C15U);
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31);
    }
    /// 0 … below-1; 0 if below is 0.
    std::uint64_t below(std::uint64_t below) { return below == 0 ? 0 : next() % below; }
    /// from … to, both included.
    std::int64_t between(std::int64_t from, std::int64_t to) {
        return from + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(to - from) + 1));
    }
    bool one_in(std::uint64_t chances) { return below(chances) == 0; }
    /// In [0, 1).
    double share() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

private:
    std::uint64_t state_;
};

}  // namespace pgsteady::simulation
