// COMMIT AND CHAIN and ROLLBACK AND CHAIN (D29). Answered here because their server was lost, they leave the client in a
// transaction that exists on no server: the next one opens it, with the same characteristics, before the client's next
// message. Carried out by a server, they begin a new journal, as if by the BEGIN that PostgreSQL does not need. A
// transaction whose characteristics are not known is never opened with others: its client hears 40001. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/chain_opening.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/transaction_text.hpp"

namespace pgsteady {

namespace {

/// What a server says to BEGIN, as far as a journal keeps it.
digest_value answer_to_begin() {
    response_digest digest;
    digest.add(std::string_view("C\0\0\0\12BEGIN\0", 11));
    digest.add(std::string_view("Z\0\0\0\5T", 6));
    return digest.value();
}

}  // namespace

/// The BEGIN of a transaction like the open one, by all that has been answered in it.
std::optional<std::string> session::opening_of_transaction() const {
    const transaction_journal& journal = link_->journal;
    if (uncertain_ || (journal.active() && !journal.complete())) return std::nullopt;
    std::vector<std::string> texts;
    if (!texts_of_transaction(texts)) return std::nullopt;
    return chain_opening(texts, journal.has_errors() || link_->transaction_status == 'E');
}

/// The server is lost: what its transaction was like is known only as long as its journal is there.
void session::remember_opening() {
    if (replaying_) return;  // it is not complete there; what was remembered is still true
    if (link_->transaction_status != 'I') more().opening = opening_of_transaction();
    else if (extra_ != nullptr && !asks_about_commit()) extra_->opening.reset();
}

/// The request that is complete now is nothing but the end of one transaction and the beginning of the next.
bool session::ends_in_chain() const {
    std::vector<sent_request> sent;
    const server_link& link = *link_;
    if (!link.kept_complete || !split_requests(link.kept_requests, link.kept_answered, text_lookup(), sent) ||
        sent.empty())
        return false;
    const sent_request& first = sent.front();
    return first.whole && !first.opaque && first.texts.size() == 1 && is_only_chain(first.texts.front());
}

/// What came before belongs to a transaction that is over.
void session::begin_journal_anew(const std::optional<std::string>& opening) {
    server_link& link = *link_;
    link.journal_from = link.kept_answered;
    if (extra_ != nullptr) {
        forget_transaction_names();
        extra_->replays_tried = 0;
    }
    if (opening && !uncertain_)
        link.journal.begin_anew(query_frame(*opening), answer_to_begin(), pool_.journal_bytes, tables_.journals);
    else link.journal.give_up();
    digesting_ = pool_.replays && !link.journal.given_up();
}

/// The client hears of the end of its transaction from us, and that it is in the next one.
void session::end_with_chain() {
    extra& e = more();
    if (has_wishes_) settle_local_wishes('I');
    forget_transaction_names();
    e.replays_tried = 0;
    if (e.opening) {
        e.chain = query_frame(*e.opening);
        chained_ = true;
        return;
    }
    lost_transaction_ = lost_unannounced_ = true;
    e.lost_reader = {};
    e.refusal = lost_transaction_error("has characteristics that are not known",
                                       incident_of("a transaction that AND CHAIN opens cannot be opened elsewhere"));
}

/// In front of the client's next message. False: not yet.
bool session::open_chain() {
    extra& e = *extra_;
    if (!replaying_) {
        e.replay = std::make_unique<replay_state>();
        e.replay->frames = e.chain;
        e.replay->opens_chain = true;
        begin_replay();
        redo next;
        next.bytes = e.chain.size();
        next.fate = request_fate::replay;
        e.redos.push_front(std::move(next));
        redoing_ = true;
    }
    const client_frame opening{frontend::query, e.chain, e.chain.size()};
    if (take_frame(opening) == taken::wait) return false;
    taken_again(e.chain.size());
    chained_ = false;
    return true;
}

}  // namespace pgsteady
