// What becomes of the requests that a lost server leaves unanswered: each is sent again, or answered with the truth
// (recovery.md 2.1, phases B to I and L to O). Pure: what was sent, and what is known of it, goes in; a fate per request
// comes out, in order. The session carries it out.
#pragma once

#include "proxy/session/commit_proof.hpp"
#include "proxy/sql/statement_class.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// A request that was sent: a Query, a FunctionCall, or a segment of extended messages.
struct sent_request {
    std::string_view frames;
    std::vector<std::string> texts;  ///< what it executes, in order; of a segment without Execute: nothing
    bool whole = true;               ///< a segment: its Sync was sent
    bool opaque = false;  ///< FunctionCall, COPY (its data are not kept), a statement or portal whose text is not known
    bool mixed = false;   ///< prepares, binds or describes something other than the end of a transaction
    bool may_begin = false;  ///< prepares or binds a BEGIN
};

/// The text that a statement name stands for; empty if none is known. The unnamed statement has the empty name.
using statement_text = std::function<std::string_view(std::string_view name)>;

/// Splits what was kept (D13) into requests and leaves out the first `answered`. False: it is not well-formed.
[[nodiscard]] bool split_requests(std::string_view kept, std::size_t answered, const statement_text& text_of,
                                  std::vector<sent_request>& out);

/// The texts that an open transaction has executed, in order, from the frames of its answered requests. False: not all of
/// them can be known from these. `as_of_begin`: text_of says what a name meant before the first of these frames, not what
/// it means now; the last request may lack its end.
[[nodiscard]] bool executed_texts(std::string_view frames, const statement_text& text_of, std::vector<std::string>& out,
                                  bool as_of_begin = false);

enum class request_fate : std::uint8_t {
    again,              ///< sent again as it is: nothing of it can have remained
    again_in_block,     ///< the same, once its transaction has been given again as far as it had come (phase F)
    again_read,         ///< sent again once it is proven to read only, under the READ ONLY guard (D20)
    in_lost_block,      ///< answered here: its transaction has died with the server (phases E, H, I)
    commit_done,        ///< a COMMIT, answered here: the transaction is committed, or has only read (phase G, D23)
    commit_read,        ///< the same, once the catalogue has confirmed that the transaction has only read
    commit_resolve,     ///< a COMMIT that a primary is asked about: was it carried out? (recovery.md 2.6)
    transaction_lost,   ///< R04, 40001
    commit_unknown,     ///< R07, 08007
    committed,          ///< the variant of R07 for what is known to be committed, while its answer is lost
    statement_unknown,  ///< R08, 40003
    result_lost,        ///< R06, 08006: rows were delivered
    replay,             ///< answered before: sent again, and its answer compared (recovery.md 2.5)
    answered,           ///< a write outside of a block, known to be committed: its answer is here (D33)
    dropped,            ///< of a replay that has failed: taken, and forgotten
};

struct planned_request {
    std::string_view frames;
    request_fate fate = request_fate::statement_unknown;
    bool whole = true;
    bool resumes = false;                ///< what has been delivered of its answer is not delivered again
    bool opens_lost_block = false;       ///< from its answer on the client is in a transaction that is gone
    std::vector<statement_class> reads;  ///< again_read, commit_read: what has to be proven
    bool answerable = false;             ///< commit_resolve: COMMIT is all that has to be answered
    bool follows = false;     ///< commit_resolve: asked about with the request before it, which has no COMMIT
    bool autocommit = false;  ///< commit_resolve: no COMMIT, but a request that commits by itself
    std::string
        obstacle{};  ///< commit_resolve: why its transaction is not given again if it turns out not to have been
                     ///< carried out, to follow "it"; empty: it is
};

struct loss_facts {
    char status = 'I';          ///< the last ReadyForQuery's
    bool delivered = false;     ///< a part of the first request's answer has reached the client
    bool may_retry = true;      ///< attempts, budget and switches allow to send anything again
    commit_judgement commit{};  ///< what the open transaction has done until the first request, as far as that is known
    bool may_replay = false;    ///< transactions may be given again, the open one as far as it has been answered
    std::string obstacle{};     ///< if not: why the open one is not, to follow "it"
    std::string in_flight{};    ///< the same of what has no answer yet, if may_replay
    bool revives = false;       ///< of a failed one: it has savepoints to go back to
    bool resumable = false;     ///< what was delivered can be recognised when it comes again, in its transaction
    bool continuable = false;   ///< the same of what was delivered outside of any (recovery.md 2.3)
    /// What became of the open transaction can be found out; outside of any: of the first request, whose answer is all
    /// here but for its ReadyForQuery (D33).
    bool captured = false;
    bool unreached = false;     ///< outside of any: the first request has not come to its commit, and will not any more
    bool committed = false;     ///< the server said that what the first request began, or ended, is committed [E3a]
    bool unreplicated = false;  ///< it said so, and that is not enough (recovery.strict_sync)
};

struct recovery_plan {
    std::vector<planned_request> requests;
    bool may_replay = false;  ///< the open transaction could be given again, as far as it has been answered
    bool replays = false;     ///< the open transaction is given again first
    bool needs_fence =
        false;             ///< nothing may be sent before the lost server is known to do nothing of it any more (D24)
    std::string obstacle;  ///< why a transaction is not given again, to follow "it"; empty: none was looked for
    bool block_lost = false;  ///< from now on the client is in a transaction that is gone, until it ends it
};

[[nodiscard]] recovery_plan plan_recovery(const std::vector<sent_request>& sent, const loss_facts& facts);

}  // namespace pgsteady
