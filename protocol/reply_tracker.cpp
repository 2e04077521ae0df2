// See reply_tracker.hpp. Rules: PostgreSQL documentation, "Message Flow", sections
// "Extended Query", "Pipelining" and "COPY Operations".
#include "protocol/reply_tracker.hpp"

#include "protocol/frame.hpp"

namespace pgsteady {

namespace {

constexpr bool owes_ready(owed kind) {
    return kind == owed::query || kind == owed::function_call || kind == owed::sync;
}

constexpr bool is_copy_mark(owed kind) { return kind == owed::copy_data || kind == owed::copy_end; }

constexpr reply_meaning forwarded{reply_meaning::verdict::forward, false};
constexpr reply_meaning swallowed{reply_meaning::verdict::swallow, false};
constexpr reply_meaning unexpected{reply_meaning::verdict::unexpected, false};

}  // namespace

void reply_tracker::push_unusual(owed_reply entry) {
    const owed kind = entry.kind;
    if (skipping_ && empty() && kind != owed::sync) {
        settle(entry, outcome::skipped);
        return;
    }
    if (kind == owed::copy_data && !empty() && entries_.back().kind == owed::copy_data) return;
    entries_.push_back(entry);
    if (kind == owed::local_reply || is_copy_mark(kind)) release_front();
}

reply_meaning reply_tracker::react(char type) {
    namespace msg = backend_message;
    switch (type) {
        case msg::data_row:
        case msg::copy_data:
        case msg::copy_done:
        case msg::row_description:
        case msg::no_data:
        case msg::parameter_description:
        case msg::command_complete:
        case msg::empty_query_response:
        case msg::portal_suspended:
        case msg::copy_in_response:
        case msg::copy_out_response:
        case msg::copy_both_response:
        case msg::function_call_response: return on_completion(type);
        case msg::ready_for_query: return on_ready();
        case msg::error_response: return on_error();
        case msg::parse_complete: return expect(owed::parse);
        case msg::bind_complete: return expect(owed::bind);
        case msg::close_complete: return expect(owed::close);
        case msg::notification_response: return forwarded;
        case msg::notice_response:
        case msg::parameter_status: return empty() ? forwarded : of_front();
        default: return unexpected;
    }
}

std::size_t reply_tracker::client_readies_owed() const {
    std::size_t count = 0;
    for (std::size_t i = head_; i < entries_.size(); ++i)
        if (!entries_[i].injected && owes_ready(entries_[i].kind)) ++count;
    return count;
}

bool reply_tracker::wants_sync() const {
    if (!skipping_ && !sync_eaten_) return false;
    for (std::size_t i = entries_.size(); i > head_; --i)
        if (entries_[i - 1].kind == owed::sync) return false;
    return true;
}

void reply_tracker::reset() {
    entries_.clear();
    settled_.clear();
    head_ = 0;
    copies_ = 0;
    skipping_ = copy_in_ = sync_eaten_ = ambiguous_ = false;
}

reply_meaning reply_tracker::of_front() const { return front().injected ? swallowed : forwarded; }

void reply_tracker::settle(const owed_reply& entry, outcome how) {
    if (entry.injected || entry.noted) settled_.push_back({entry, how});
}

void reply_tracker::pop(outcome how) {
    remove_front(how);
    release_front();
}

void reply_tracker::remove_front(outcome how) {
    settle(entries_[head_], how);
    if (++head_ == entries_.size()) {
        entries_.clear();
        head_ = 0;
        if (entries_.capacity() > 256) entries_.shrink_to_fit();
    } else if (head_ >= 64 && head_ * 2 >= entries_.size()) {  // a pipeline that never rests must not grow the queue
        entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
}

// What needs no word from the server when its turn comes: replies of our own, and COPY data that no
// COPY wants, which the server ignores (P20). A loop, not a recursion: a client decides how many there are.
void reply_tracker::release_front() {
    while (!empty()) {
        const owed kind = front().kind;
        const bool ours = kind == owed::local_reply && !skipping_;
        const bool unwanted = is_copy_mark(kind) && copies_ == 0;
        if (!ours && !unwanted) return;
        remove_front(outcome::done);
    }
}

reply_meaning reply_tracker::expect(owed kind) {
    if (empty() || front().kind != kind) return unexpected;
    const reply_meaning meaning = of_front();
    pop(outcome::done);
    return meaning;
}

// Rows, descriptions, tags: completes Describe and Execute, is a part of Query and FunctionCall.
reply_meaning reply_tracker::on_completion(char type) {
    namespace msg = backend_message;
    if (empty()) return unexpected;
    const reply_meaning meaning = of_front();
    const owed kind = front().kind;
    if (type == msg::copy_in_response || type == msg::copy_both_response) {
        if (kind != owed::query && kind != owed::execute) return unexpected;
        copy_in_ = true;
        ++copies_;
        return meaning;
    }
    if (kind == owed::query) {
        if (type == msg::command_complete) copy_in_ = false;
        return meaning;
    }
    if (kind == owed::function_call) return type == msg::function_call_response ? meaning : unexpected;
    if (kind == owed::describe) {
        if (type == msg::row_description || type == msg::no_data) pop(outcome::done);
        else if (type != msg::parameter_description) return unexpected;
        return meaning;
    }
    if (kind != owed::execute) return unexpected;
    if (type == msg::command_complete || type == msg::empty_query_response || type == msg::portal_suspended) {
        if (copy_in_) finish_copy_of_execute();
        else pop(outcome::done);
    }
    return meaning;
}

// COPY by Execute has ended well: the server has read CopyDone, so every Sync sent before it was
// ignored ("Flush and Sync messages received during copy-in mode are ignored") and owes nothing.
void reply_tracker::finish_copy_of_execute() {
    copy_in_ = false;
    pop(outcome::done);
    drop_through_copy_end();
    copies_ = 0;
    release_front();
}

void reply_tracker::drop_through_copy_end() {
    for (bool ended = false; !ended && !empty();) {
        ended = front().kind == owed::copy_end;
        sync_eaten_ |= front().kind == owed::sync;
        remove_front(outcome::done);
    }
}

reply_meaning reply_tracker::on_error() {
    if (empty()) return forwarded;  // a dying server speaks out of turn; the session decides
    if (owes_ready(front().kind)) {
        entries_[head_].errored = true;
        return of_front();
    }
    // Also when the failing message was ours (a re-Parse): the client's own message fails with it.
    skip_to_sync();
    return forwarded;
}

// After an error in the extended protocol the server discards everything up to the next Sync (P18).
void reply_tracker::skip_to_sync() {
    const bool was_copying = copy_in_;
    copy_in_ = false;
    skipping_ = true;
    remove_front(outcome::failed);
    copies_ = 0;
    bool data_seen = false;
    bool end_seen = false;
    bool query_discarded = false;
    while (!empty()) {
        const owed kind = front().kind;
        data_seen |= kind == owed::copy_data;
        end_seen |= kind == owed::copy_end;
        if (kind == owed::sync) {
            // A Sync directly behind the Execute was read, and ignored, before any data was (P20).
            const bool counts = !was_copying || end_seen;
            if (counts || data_seen) {
                ambiguous_ |= !counts;
                // A client's Query that the server discards is answered by the ReadyForQuery of this Sync.
                if (query_discarded && entries_[head_].injected) {
                    entries_[head_].injected = false;
                    entries_[head_].noted = true;  // whoever sent it still waits for its outcome
                }
                return;
            }
        }
        query_discarded |= kind == owed::query && !front().injected;
        remove_front(outcome::skipped);
    }
}

reply_meaning reply_tracker::on_ready() {
    if (empty() || !owes_ready(front().kind)) return unexpected;
    const owed_reply first = front();
    reply_meaning meaning = of_front();
    meaning.client_ready = !first.injected;
    if (first.kind == owed::sync) skipping_ = false;
    pop(first.errored ? outcome::failed : outcome::done);
    if (first.kind == owed::query) finish_query(first.errored);
    sync_eaten_ = false;
    return meaning;
}

// What the client sent as COPY data behind a Query was consumed by it, or is ignored after its error.
void reply_tracker::finish_query(bool errored) {
    if (!errored)
        for (; copies_ > 0; --copies_) drop_through_copy_end();
    unsigned ends = 0;
    while (!empty() && is_copy_mark(front().kind)) {
        if (front().kind == owed::copy_end) ++ends;
        remove_front(outcome::done);
    }
    if (ends < copies_ && !empty() && front().kind == owed::sync) ambiguous_ = true;
    copy_in_ = false;
    copies_ = 0;
    release_front();
}

}  // namespace pgsteady
