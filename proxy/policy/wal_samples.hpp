// Numbered samples of the primary's WAL position (D28): whoever wrote when sample n was the newest asked for may read
// where a later one has been replayed. Also whether a standby is one that every commit waits for. Pure.
#pragma once

#include "proxy/policy/cluster_report.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <utility>

namespace pgsteady {

/// An insert position right behind a page's header is the page's beginning: nothing has been written there, and a standby
/// that has replayed everything stands at the beginning.
[[nodiscard]] std::uint64_t without_page_header(std::uint64_t inserted);

class wal_samples {
public:
    /// Older ones are forgotten: a standby that is so far behind keeps the number that it had.
    static constexpr std::size_t most = 1024;

    /// A probe of the primary is being sent: what was written before has a position at most as high as its answer.
    void asked() { ++newest_; }
    /// Its answer.
    void answered(std::uint64_t inserted);
    /// Another primary: positions of the former mean nothing any more. Numbers go on.
    void forget() { samples_.clear(); }

    [[nodiscard]] std::uint64_t newest() const { return newest_; }
    /// The newest sample that a standby has which has replayed so far; 0: none that is still known.
    [[nodiscard]] std::uint64_t newest_replayed(std::uint64_t replayed) const;

private:
    std::uint64_t newest_ = 1;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> samples_;  // number, position; both ascend
};

/// What a standby's WAL receiver calls itself.
struct receiver_name {
    std::string application_name;
    std::string slot;
};

/// Whether every commit that `primary_saw` shows waits for this standby: it is named `sync`, or `quorum` with a quorum of
/// all candidates. False where that cannot be seen or two standbys cannot be told apart.
[[nodiscard]] bool is_synchronous(const std::vector<replica_row>& primary_saw, std::string_view synchronous_names,
                                  const receiver_name& standby);

/// "ANY 2 (a, b)" demands all of its candidates; "ANY 1 (a, b)" and "ANY 1 (*)" do not.
[[nodiscard]] bool quorum_is_everybody(std::string_view synchronous_names);

}  // namespace pgsteady
