// The queue of replies that one server still owes: what was sent to it, in order, and what
// each frame that comes back therefore means. Answers: is this frame the client's or ours,
// what did it finish, and is the conversation at rest (P21)?
// Pure: no bytes are kept, nothing is sent. Owned by the server connection it describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgsteady {

/// What was sent and is owed a reply (or, for the copy kinds, marks a place in the stream).
enum class owed : std::uint8_t {
    parse,
    bind,
    close,
    describe,
    execute,
    query,
    function_call,
    sync,
    copy_data,    ///< one or more CopyData in a row; owes nothing
    copy_end,     ///< CopyDone or CopyFail; owes nothing
    local_reply,  ///< a reply that we make ourselves when its turn comes (a cached Parse)
};

/// How an entry left the queue.
enum class outcome : std::uint8_t {
    done,     ///< the server completed it
    failed,   ///< the server answered it with an ErrorResponse
    skipped,  ///< the server discarded it: an earlier message of its segment had failed
};

/// One owed reply.
struct owed_reply {
    owed kind = owed::query;
    bool injected = false;  ///< sent by us; its replies are swallowed
    bool noted = false;     ///< the session keeps a note for it and wants to know its outcome
    bool errored = false;   ///< an ErrorResponse was seen, ReadyForQuery still owed
};

/// An entry that has left the queue, reported only if it was injected, noted or local.
struct settled_reply {
    owed_reply entry;
    outcome how = outcome::done;
};

/// What a server frame means.
struct reply_meaning {
    enum class verdict : std::uint8_t {
        forward,    ///< the client is owed this frame
        swallow,    ///< it answers something injected
        unexpected  ///< no sequence of messages that we sent explains it: desynchronised
    };
    verdict what = verdict::unexpected;
    bool client_ready = false;  ///< a ReadyForQuery of the client's own request
};

class reply_tracker {
public:
    /// Records that a message was sent. Sent while the server is skipping to Sync, it is settled at once as skipped.
    void push(owed kind, bool injected = false, bool noted = false) {
        if (skipping_ || kind >= owed::copy_data) return push_unusual({kind, injected, noted, false});
        entries_.push_back({kind, injected, noted, false});
    }

    /// Records a reply that we shall make ourselves, in order. Settled (done) when its turn comes, skipped after an error.
    void push_local() { push(owed::local_reply, false, true); }

    /// Interprets one server frame by its type byte and, for entries it completes, moves them to settled().
    [[nodiscard]] reply_meaning react(char type);

    /// Entries settled since the last clear_settled(), oldest first. Empty on the hot path.
    [[nodiscard]] const std::vector<settled_reply>& settled() const { return settled_; }
    void clear_settled() { settled_.clear(); }
    /// Moves them to `into`, whose room is used from now on.
    void take_settled(std::vector<settled_reply>& into) {
        into.clear();
        into.swap(settled_);
    }

    [[nodiscard]] bool empty() const { return head_ == entries_.size(); }
    [[nodiscard]] std::size_t size() const { return entries_.size() - head_; }
    [[nodiscard]] const owed_reply& front() const { return entries_[head_]; }
    [[nodiscard]] const owed_reply& at(std::size_t index) const { return entries_[head_ + index]; }

    /// True if the server discards everything until the next Sync.
    [[nodiscard]] bool skipping() const { return skipping_; }

    /// True if the server is in the middle of a segment although no Sync is owed a reply: it skips to the next one,
    /// or COPY has eaten the one that was sent behind its Execute (P20). The client has to send another.
    [[nodiscard]] bool wants_sync() const;

    /// True once it cannot be known how many ReadyForQuery the server owes (an error during COPY with a
    /// Sync between the data, P20): the connection must never serve anyone else.
    [[nodiscard]] bool ambiguous() const { return ambiguous_; }

    /// True if the server waits for, or is being sent, COPY data.
    [[nodiscard]] bool copying_in() const { return copy_in_; }

    /// ReadyForQuery frames that the client itself is still owed.
    [[nodiscard]] std::size_t client_readies_owed() const;

    /// Forgets everything (the connection is gone).
    void reset();

private:
    void push_unusual(owed_reply entry);
    void pop(outcome how);
    void settle(const owed_reply& entry, outcome how);
    void skip_to_sync();
    void finish_copy_of_execute();
    void drop_through_copy_end();
    void finish_query(bool errored);
    void release_front();
    void remove_front(outcome how);
    reply_meaning on_error();
    reply_meaning on_ready();
    reply_meaning on_completion(char type);
    reply_meaning expect(owed kind);
    [[nodiscard]] reply_meaning of_front() const;

    std::vector<owed_reply> entries_;  // [head_, end) is the queue; compacted when empty
    std::size_t head_ = 0;
    std::vector<settled_reply> settled_;
    unsigned copies_ = 0;  // CopyInResponses of the message at the front
    bool skipping_ = false;
    bool copy_in_ = false;
    bool sync_eaten_ = false;  // by a COPY, since the last Sync
    bool ambiguous_ = false;
};

}  // namespace pgsteady
