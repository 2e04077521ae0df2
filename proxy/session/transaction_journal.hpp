// What the client has said in its open transaction, as far as it has been answered: its frames, as they came, and digests of
// the answers. Read after a loss only: to know what a lost COMMIT can have done (D23), and to give the transaction again
// (recovery.md 2.5). While all is well it costs a copy of a request's bytes and a hash of its answer within a transaction,
// and nothing outside. Bounded; what does not fit makes the whole of it unknown, never a part. Pure; a part of server_link,
// since a transaction stays with it.
#pragma once

#include "proxy/session/journal_budget.hpp"
#include "proxy/session/response_digest.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

class transaction_journal {
public:
    /// A transaction is open, and the journal, complete or not, is about it.
    [[nodiscard]] bool active() const { return now_ != state::idle; }
    /// All that was said in it and answered is in frames().
    [[nodiscard]] bool complete() const { return now_ == state::complete; }
    [[nodiscard]] bool given_up() const { return now_ == state::given_up; }
    [[nodiscard]] std::string_view frames() const { return frames_; }
    /// One per answered request since the one that began the transaction, in order. Of that one only what came from BEGIN's
    /// tag on counts.
    [[nodiscard]] const std::vector<digest_value>& answers() const { return answers_; }
    /// One of its statements has failed: which of the others count depends on savepoints.
    [[nodiscard]] bool has_errors() const { return has_errors_; }

    /// Appends answered requests, leaving out the first `before` of them, which precede the transaction. More than `limit`
    /// bytes in all are not kept, nor what is beyond the budget.
    void add(std::string_view requests, std::size_t before, std::size_t limit, journal_budget& budget);
    /// Another transaction has begun in the same moment, as if by `opening`, answered so (AND CHAIN, D29).
    void begin_anew(std::string_view opening, const digest_value& answered, std::size_t limit, journal_budget& budget);
    /// The answer of the request in progress.
    [[nodiscard]] response_digest& answer() { return answer_; }
    [[nodiscard]] const response_digest& answer() const { return answer_; }
    /// It is complete.
    void note_answer();
    void note_error() { has_errors_ = true; }
    /// Something of the transaction is not known, or nothing can be gained from it any more.
    void give_up();
    /// The transaction is over.
    void end();

private:
    enum class state : unsigned char { idle, complete, given_up };
    static constexpr std::size_t kept_capacity = 4096;  ///< of a journal that is not in use
    static constexpr std::size_t answer_cost = sizeof(digest_value);

    state now_ = state::idle;
    bool has_errors_ = false;
    std::string frames_;
    std::vector<digest_value> answers_;
    response_digest answer_;
    budget_share share_;
};

/// `frames` without the first `count` requests: each ends with a Query, a FunctionCall or a Sync.
[[nodiscard]] std::string_view behind_requests(std::string_view frames, std::size_t count);
/// The first `count` requests of `frames`.
[[nodiscard]] std::string_view first_requests(std::string_view frames, std::size_t count);

}  // namespace pgsteady
