// Was it committed? What becomes of a COMMIT whose answer is lost, judged from what was captured before it was sent and
// from what a primary says now (recovery.md 2.6, corrected here: what counts is not how many steps lie between the two
// servers but how much of the first one's WAL the second is known to have).
// It must never say committed or not committed without proof: transaction numbers are given again after a crash (T1, T2,
// T4), so pg_xact_status() alone proves nothing. Pure.
#pragma once

#include "proxy/policy/incarnation.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// What is known of a transaction that writes, before its COMMIT is sent.
struct commit_capture {
    std::uint64_t xid = 0;     ///< with its epoch; 0: nothing was captured
    std::uint64_t marker = 0;  ///< L0: end of a WAL record that bears xid; its commit record lies behind it
    std::size_t host = 0;      ///< index in the cluster's list
    incarnation server{};      ///< where it ran

    [[nodiscard]] bool known() const { return xid != 0; }
};

/// What a server says about a transaction number (pg_xact_status).
enum class xact_state : std::uint8_t {
    committed,
    aborted,
    in_progress,
    in_future,  ///< 22023: it has not been given yet
    forgotten,  ///< NULL: too old
    failed,     ///< the question failed otherwise, or the answer makes no sense
};

/// How much of the capture's server's WAL the answering one is known to have (proxy/policy/lineage).
struct inherited_wal {
    bool observed = false;  ///< the answering server has been observed. False: it may yet be
    std::optional<std::uint64_t> upto{};
};

struct in_doubt_facts {
    std::size_t host = 0;
    incarnation server{};  ///< of the server that answers, a primary
    xact_state state = xact_state::failed;
    inherited_wal inherited{};
    bool two_primaries = false;  ///< D27
};

enum class in_doubt_outcome : std::uint8_t { committed, not_committed, ask_again, unknown };
[[nodiscard]] std::string_view to_string(in_doubt_outcome outcome);

/// What the judgement rests on, for log, metrics and events.
enum class in_doubt_path : std::uint8_t {
    same_incarnation,     ///< the server lives on: what it says of the number is final
    clean_restart,        ///< shut down and started: the same
    crash_before_marker,  ///< its recovery ended in front of the marker: the commit record is lost
    crash_after_marker,   ///< the marker was recovered, so the number was not given again
    promoted_before_marker,
    promoted_after_marker,
    never_committed,     ///< whatever happened in between: in no history that has its commit record would it be aborted
    waits,               ///< it is still in progress there
    not_observed,        ///< the monitor has not seen this server yet
    more_than_one_step,  ///< the number may have been given again meanwhile (T4)
    two_primaries,
    other_system,
    contradiction,  ///< the answers cannot all be true
    no_answer,      ///< the question failed
    timeout,
    count
};
[[nodiscard]] std::string_view to_string(in_doubt_path path);

struct in_doubt_judgement {
    in_doubt_outcome what = in_doubt_outcome::unknown;
    in_doubt_path path = in_doubt_path::no_answer;
};

[[nodiscard]] in_doubt_judgement judge_in_doubt(const commit_capture& captured, const in_doubt_facts& facts);

/// How long to wait before the question is asked for the `times`-th time again: 20 ms growing to 200 ms (2.6).
[[nodiscard]] std::chrono::milliseconds in_doubt_pause(std::uint32_t times);

/// `X/Y`, both hexadecimal, as bytes from the beginning of the WAL. Nothing: it is not one.
[[nodiscard]] std::optional<std::uint64_t> read_wal_position(std::string_view text);
[[nodiscard]] std::string wal_position_text(std::uint64_t position);

/// What pg_xact_status() answered; `sqlstate` if it was an error.
[[nodiscard]] xact_state read_xact_state(std::optional<std::string_view> value);

}  // namespace pgsteady
