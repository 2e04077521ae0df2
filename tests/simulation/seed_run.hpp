// One seed, one run: a world, its applications and its faults, all drawn from a number; half of the kinds of faults are left
// out each time, so that rare ones are not always drowned by frequent ones. The same number is the same run. For tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pgsteady::simulation {

struct seed_result {
    std::vector<std::string> problems;
    std::vector<std::string> story;           ///< if it was asked for
    std::map<std::string, std::size_t> told;  ///< requests by SQLSTATE; "": without an error
    std::size_t losses = 0;                   ///< of servers that a client had
    std::size_t disconnects = 0;
    std::size_t faults = 0;
    std::size_t replays = 0;  ///< transactions that were given again
    std::size_t replays_different = 0;
    std::size_t resumes = 0;
    std::size_t answers_held = 0;
    std::size_t gave_way = 0;                     ///< transactions, to others' replays
    std::size_t handed_over = 0;                  ///< servers, between workers
    std::map<std::string, std::size_t> resolved;  ///< lost COMMITs, by outcome and path
    std::uint64_t steps = 0;
    std::uint64_t fingerprint = 0;  ///< of everything that happened

    void add(const seed_result& other);
};

[[nodiscard]] seed_result run_seed(std::uint64_t seed, bool tell = false);

/// Nothing but transfers between few accounts, and nothing but outages of the whole server that lose nothing that was
/// acknowledged: all that was interrupted held its rows together. `barrier`: replays come before new work (D30).
[[nodiscard]] seed_result run_outages(std::uint64_t seed, bool barrier, bool tell = false);

}  // namespace pgsteady::simulation
