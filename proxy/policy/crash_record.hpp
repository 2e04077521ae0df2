// Remembers which statements were in flight when a server crashed under one session alone, so that we do not go on
// crashing the database on behalf of a client (T22, D25): retrying them stops after three times. What a client sends itself is
// never withheld. One record per host; it decides about retries and nothing else. Memory is bounded.
// Pure: time is an argument. Not thread-safe.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// 64 bits of a text (FNV-1a): enough to recognise a statement that is sent again.
[[nodiscard]] std::uint64_t statement_fingerprint(std::string_view text);
/// As log and errors name it: sixteen hexadecimal digits.
[[nodiscard]] std::string fingerprint_name(std::uint64_t fingerprint);

class crash_record {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Crashes with the same sole victim after which its statement is withheld (D25).
    static constexpr std::uint32_t crashes_until_withheld = 3;
    /// A statement that has not crashed a server for so long is forgotten.
    static constexpr std::chrono::minutes memory{10};
    /// Ends of sessions within this time belong to one crash.
    static constexpr std::chrono::seconds one_crash{1};
    static constexpr std::size_t most_entries = 256;
    static constexpr std::size_t most_in_flight = 32;  ///< of one session; a crash is blamed on the first ones

    // A crash looks like this (recovery.md 2.2, measured): the session whose process died reads a bare end, all others read
    // 57P02 before theirs. Two bare ends, or one without a sibling's word, name nobody. `opened`: when the connection that
    // ended was signed in: one that is younger than a crash ends by the next one, however soon that comes, and one that is
    // older than a crash has nothing to do with those after it.

    /// A session ended without a word, or with a PANIC of its own, while these statements of `client` were in flight (0:
    /// nobody's). A client whose retry met a server that was going down as well is still one victim.
    void ended_silently(std::uint64_t client, std::span<const std::uint64_t> in_flight, time_point opened,
                        time_point now);
    /// A session was told that another server process crashed (57P02).
    void told_of_crash(time_point opened, time_point now);

    /// How many crashes this statement was the sole victim of, of late.
    [[nodiscard]] std::uint32_t crashes(std::uint64_t fingerprint, time_point now);
    [[nodiscard]] bool withheld(std::uint64_t fingerprint, time_point now) {
        return crashes(fingerprint, now) >= crashes_until_withheld;
    }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
    struct entry {
        std::uint64_t fingerprint = 0;
        std::uint32_t crashes = 0;
        time_point last{};
    };
    /// The crash that is being looked into.
    struct inquest {
        time_point began{};
        std::uint32_t silent = 0;
        std::uint32_t told = 0;
        std::uint64_t client = 0;              // whose the first silent end was
        std::vector<std::uint64_t> in_flight;  // of the first that ended silently; each once

        [[nodiscard]] bool names(std::uint64_t fingerprint) const;
    };

    [[nodiscard]] bool join(time_point opened, time_point now);
    void close_inquest();
    void blame(std::uint64_t fingerprint, time_point when);
    void forget_old(time_point now);

    inquest current_;                       // nothing has ended: began is of no meaning
    std::optional<time_point> last_crash_;  // when the one before began, if it was one
    std::vector<entry> entries_;
};

}  // namespace pgsteady
