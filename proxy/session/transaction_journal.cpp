// See transaction_journal.hpp.
#include "proxy/session/transaction_journal.hpp"

#include "protocol/frame.hpp"

namespace pgsteady {

std::string_view behind_requests(std::string_view frames, std::size_t count) {
    while (count > 0 && !frames.empty()) {
        const frame_header header = read_frame_header(frames);
        if (header.state != frame_header::status::ok || header.total > frames.size()) return {};
        if (header.type == frontend::query || header.type == frontend::function_call || header.type == frontend::sync)
            --count;
        frames.remove_prefix(header.total);
    }
    return frames;
}

std::string_view first_requests(std::string_view frames, std::size_t count) {
    return frames.substr(0, frames.size() - behind_requests(frames, count).size());
}

void transaction_journal::add(std::string_view requests, std::size_t before, std::size_t limit,
                              journal_budget& budget) {
    if (now_ == state::given_up) return;
    if (before > 0) requests = behind_requests(requests, before);
    if (frames_.size() + requests.size() > limit || !share_.take(budget, requests.size() + answer_cost))
        return give_up();
    now_ = state::complete;
    frames_ += requests;
}

void transaction_journal::begin_anew(std::string_view opening, const digest_value& answered, std::size_t limit,
                                     journal_budget& budget) {
    end();
    add(opening, 0, limit, budget);
    if (now_ == state::complete) answers_.push_back(answered);
}

void transaction_journal::note_answer() {
    if (now_ != state::given_up) answers_.push_back(answer_.value());
    answer_.begin();
}

void transaction_journal::give_up() {
    end();
    now_ = state::given_up;
}

void transaction_journal::end() {
    now_ = state::idle;
    has_errors_ = false;
    frames_.clear();
    if (frames_.capacity() > kept_capacity) frames_.shrink_to_fit();
    answers_.clear();
    if (answers_.capacity() * answer_cost > kept_capacity) answers_.shrink_to_fit();
    answer_.begin();
    share_.release();
}

}  // namespace pgsteady
