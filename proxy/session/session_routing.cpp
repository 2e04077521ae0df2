// Where a request may go while the cluster is not in its normal mode: reads to standbys, all else to a primary, if one is
// to be had (D3, D28; recovery.md 2.13). In the normal mode nothing is looked at. See session.hpp.
#include "protocol/frame.hpp"

#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_class.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>

namespace pgsteady {

/// A text that a standby may be given: it refuses by itself what would write, so that form is enough.
bool session::only_reads(std::string_view text) const {
    const transaction_text step = read_transaction_text(text);
    if (step.what == transaction_text::step::begin)
        return step.says == transaction_text::access::read_only ||
               (pool_.service == service_mode::read_only && step.says != transaction_text::access::read_write);
    const statement_class seen = classify_statements(text);
    return seen.kind <= statement_kind::session_state && !seen.denied_function && !seen.locks_rows;
}

/// `known` false: the rest of the segment has to arrive first.
server_need session::judge_need(const client_frame& frame, bool& known) const {
    if (pool_.only_standbys) return server_need::read_only;
    if (pins_ != 0 || replaying_) return server_need::primary;  // no standby listens
    if (asks_about_commit() && extra_->redos.front().fate == request_fate::commit_resolve) return server_need::primary;
    // What a primary began is not continued on a standby, which may show an older state (T14).
    if (resumes_next()) return extra_->resumed_from_standby ? server_need::read_only : server_need::primary;
    if (redoing_ && !needs_primary_ &&
        (extra_->redos.front().fate == request_fate::again_read ||
         extra_->redos.front().fate == request_fate::commit_read))
        return server_need::read_only;
    if (pool_.service == service_mode::normal || !pool_.recovers || needs_primary_ || !frame.whole())
        return server_need::primary;
    if (frame.type == frontend::query) {
        const std::string_view body = frame.body();
        return only_reads(body.substr(0, body.find('\0'))) ? server_need::read_only : server_need::primary;
    }
    if (frame.type == frontend::function_call) return server_need::primary;
    sent_request only;
    if (!offered_request(only, known)) return server_need::primary;
    const bool reads = !only.opaque && std::all_of(only.texts.begin(), only.texts.end(),
                                                   [this](const std::string& text) { return only_reads(text); });
    return reads ? server_need::read_only : server_need::primary;
}

/// The request at the front of what is offered: a Query, or a segment up to its Sync. False: it is none that can be
/// looked at as one, or (`known` false) the rest of it has yet to arrive.
bool session::offered_request(sent_request& out, bool& known) const {
    known = true;
    std::size_t end = 0;
    for (std::string_view rest = offered_;;) {
        const frame_header header = read_frame_header(rest, pool_.max_message);
        if (header.state == frame_header::status::malformed || end > pool_.keep_bytes) return false;
        if (header.state == frame_header::status::need_more || header.total > rest.size()) {
            known = header.state == frame_header::status::ok && header.total > pool_.keep_bytes;
            return false;
        }
        if (header.type == frontend::flush || (header.type == frontend::query && end > 0)) return false;
        rest.remove_prefix(header.total);
        end = offered_.size() - rest.size();
        if (header.type == frontend::query || header.type == frontend::function_call || header.type == frontend::sync)
            break;
    }
    std::vector<sent_request> all;
    if (!split_requests(offered_.substr(0, end), 0, text_lookup(), all) || all.size() != 1) return false;
    out = std::move(all.front());
    return true;
}

/// What R01 says cannot be executed: the first word of the text.
std::string session::refused_word(const client_frame& frame) const {
    std::string_view text = frame.body();
    if (frame.type == frontend::parse) text.remove_prefix(std::min(text.size(), text.find('\0') + 1));
    else if (frame.type == frontend::bind)
        text = text_lookup()(std::string_view(text.substr(std::min(text.size(), text.find('\0') + 1)).data()));
    else if (frame.type != frontend::query) return "the statement";
    const std::string word = leading_word(text.substr(0, text.find('\0')));
    return word.empty() ? "the statement" : word;
}

/// A sign-in asks for nothing but what a server reports.
server_need session::need_to_welcome() const {
    const bool any = pool_.only_standbys || (pool_.service != service_mode::normal && pool_.recovers);
    return any ? server_need::read_only : server_need::primary;
}

void session::reconsider(std::string_view in) {
    if (waiting_ && phase_ == phase::welcoming) need_ = need_to_welcome();
    if (!waiting_ || phase_ != phase::ready) return;
    const frame_header header = read_frame_header(in, pool_.max_message);
    if (header.state != frame_header::status::ok) return;
    const client_frame frame{header.type, in.substr(0, std::min(in.size(), header.total)), header.total};
    offered_ = in;
    bool known = true;
    need_ = judge_need(frame, known);
    offered_ = {};
}

}  // namespace pgsteady
