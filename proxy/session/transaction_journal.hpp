// What the client has said in its open transaction, as far as it has been answered: its frames, as they came. Read after
// a loss only: to know what a lost COMMIT can have done (D23), and what a transaction would have to be given again.
// While all is well it costs a copy of a request's bytes within a transaction, and nothing outside. Bounded; what does
// not fit makes the whole of it unknown, never a part. Pure; a part of server_link, since a transaction stays with it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgsteady {

class transaction_journal {
public:
    /// A transaction is open, and the journal, complete or not, is about it.
    [[nodiscard]] bool active() const { return now_ != state::idle; }
    /// All that was said in it and answered is in frames().
    [[nodiscard]] bool complete() const { return now_ == state::complete; }
    [[nodiscard]] std::string_view frames() const { return frames_; }

    /// Appends answered requests, leaving out the first `before` of them, which precede the transaction. More than `limit`
    /// bytes in all are not kept.
    void add(std::string_view requests, std::size_t before, std::size_t limit);
    /// Something of the transaction is not known, or nothing can be gained from it any more.
    void give_up();
    /// The transaction is over.
    void end();

private:
    enum class state : unsigned char { idle, complete, given_up };
    static constexpr std::size_t kept_capacity = 4096;  ///< of a journal that is not in use

    state now_ = state::idle;
    std::string frames_;
};

/// `frames` without the first `count` requests: each ends with a Query, a FunctionCall or a Sync.
[[nodiscard]] std::string_view behind_requests(std::string_view frames, std::size_t count);
/// The first `count` requests of `frames`.
[[nodiscard]] std::string_view first_requests(std::string_view frames, std::size_t count);

}  // namespace pgsteady
