// See recovery_plan.hpp.
#include "proxy/session/recovery_plan.hpp"

#include "protocol/frame.hpp"

#include "proxy/session/leading_word.hpp"
#include "proxy/session/replay_obstacle.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace pgsteady {

namespace {

std::string_view cstring_at(std::string_view& rest) {
    const std::size_t end = std::min(rest.size(), rest.find('\0'));
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
    return text;
}

bool is_end(std::string_view text) { return ends_transaction(text) || is_only_chain(text); }

/// Walks frames; knows what the names prepared and bound on the way stand for.
class splitter {
public:
    /// `in_block`: all of it stands in one transaction block, in which portals outlive their segment.
    splitter(std::string_view kept, const statement_text& text_of, bool in_block = false)
        : rest_(kept), text_of_(text_of), in_block_(in_block) {}

    /// The next request. False: there is none, or (malformed()) it cannot be read.
    bool next(sent_request& out) {
        out = {};
        const char* begin = rest_.data();
        after_copy_ = false;
        while (!rest_.empty()) {
            const frame_header header = read_frame_header(rest_);
            if (header.state != frame_header::status::ok || header.total > rest_.size()) {
                malformed_ = true;
                return false;
            }
            const std::string_view body = rest_.substr(frame_header_size, header.total - frame_header_size);
            rest_.remove_prefix(header.total);
            if (out.frames.empty() && (header.type == frontend::copy_done || header.type == frontend::copy_fail)) {
                after_copy_ = true;
                begin = rest_.data();
                continue;
            }
            out.frames = {begin, static_cast<std::size_t>(rest_.data() - begin)};
            if (take(header.type, body, out)) return true;
        }
        out.whole = false;
        return !out.frames.empty();
    }
    [[nodiscard]] bool malformed() const { return malformed_; }
    /// The end of the COPY data of the request before, which were not kept, stood in front of this one.
    [[nodiscard]] bool after_copy() const { return after_copy_; }
    /// A name stood for something from before, and now stands for nothing or something else: what text_of says of it now
    /// need not be what it said then.
    [[nodiscard]] bool renamed() const { return renamed_; }

private:
    /// True: the request ends with this frame.
    bool take(char type, std::string_view body, sent_request& out) {
        switch (type) {
            case frontend::query:
                prepared_.erase(std::string());
                if (out.frames.size() != body.size() + frame_header_size)
                    out.opaque = true;  // ends a segment without Sync
                out.texts.emplace_back(cstring_at(body));
                return true;
            case frontend::function_call: out.opaque = true; return true;
            case frontend::sync:
                if (!in_block_) portals_.clear();
                return true;
            case frontend::parse: {
                const std::string_view name = cstring_at(body);
                const std::string_view text = cstring_at(body);
                renamed_ |= outer_.contains(name);
                out.mixed |= !is_end(text);
                out.may_begin |= is_only_begin(text);
                prepared_.insert_or_assign(std::string(name), std::string(text));
                return false;
            }
            case frontend::bind: {
                const std::string_view portal = cstring_at(body);
                const std::string text = text_of(cstring_at(body));
                out.mixed |= !is_end(text);
                out.may_begin |= is_only_begin(text);
                portals_.insert_or_assign(std::string(portal), text);
                return false;
            }
            case frontend::describe:
                out.mixed |= body.starts_with('S') && !is_end(text_of(body.substr(1, body.find('\0', 1) - 1)));
                return false;
            case frontend::close:
                if (body.starts_with('S')) renamed_ |= outer_.contains(body.substr(1, body.find('\0', 1) - 1));
                return false;
            case frontend::execute: {
                const auto portal = portals_.find(cstring_at(body));
                if (portal == portals_.end() || portal->second.empty()) out.opaque = true;
                else out.texts.push_back(portal->second);
                return false;
            }
            case frontend::copy_done:
            case frontend::copy_fail: out.opaque = true; return false;
            default: return false;  // Flush
        }
    }

    std::string text_of(std::string_view name) {
        const auto own = prepared_.find(name);
        if (own != prepared_.end()) return own->second;
        outer_.emplace(name);
        return std::string(text_of_(name));
    }

    std::string_view rest_;
    const statement_text& text_of_;
    std::map<std::string, std::string, std::less<>> prepared_;
    std::map<std::string, std::string, std::less<>> portals_;
    std::set<std::string, std::less<>> outer_;  // names that were looked up
    bool in_block_;
    bool renamed_ = false;
    bool malformed_ = false;
    bool after_copy_ = false;
};

bool commits(const sent_request& request) {
    return std::any_of(request.texts.begin(), request.texts.end(),
                       [](const std::string& text) { return contains_commit(text); });
}

bool only_ends(const sent_request& request) {
    return !request.opaque && request.texts.size() == 1 && ends_transaction(request.texts.front());
}

/// COMMIT AND CHAIN or ROLLBACK AND CHAIN, and nothing else that would have to be answered (D29).
bool only_chains(const sent_request& request) {
    return !request.opaque && request.whole && !request.mixed && request.texts.size() == 1 &&
           is_only_chain(request.texts.front());
}

/// COMMIT, and nothing else that would have to be answered.
bool only_commits(const sent_request& request) {
    return only_ends(request) && request.whole && !request.mixed && contains_commit(request.texts.front());
}

/// A segment whose last statement is its only COMMIT.
bool commits_last(const sent_request& request) {
    if (!request.whole || request.opaque || request.texts.empty() || !ends_transaction(request.texts.back()))
        return false;
    return std::none_of(request.texts.begin(), request.texts.end() - 1, contains_commit);
}

/// A request whose last statement is its only COMMIT, AND CHAIN or not, and the only end of the transaction before it.
bool is_the_commit(const sent_request& request) {
    using step = transaction_text::step;
    if (!request.whole || request.opaque || request.texts.empty()) return false;
    if (read_transaction_text(request.texts.back()).what != step::commit) return false;
    return std::none_of(request.texts.begin(), request.texts.end() - 1, [](const std::string& text) {
        return contains_commit(text) || read_transaction_text(text).what == step::rollback;
    });
}

bool to_savepoint(const sent_request& request) {
    return std::any_of(request.texts.begin(), request.texts.end(), [](const std::string& text) {
        return leading_word(text) == "ROLLBACK" && !ends_transaction(text);
    });
}

bool only_begins(const sent_request& request) {
    return !request.opaque && request.texts.size() == 1 && is_only_begin(request.texts.front());
}

/// BEGIN with statements behind it in one segment (what pgjdbc makes of a transaction's first statement), and nothing that
/// ends the transaction again: without a COMMIT none of it can have stayed.
bool begins_and_goes_on(const sent_request& request) {
    return !request.opaque && request.texts.size() > 1 && is_only_begin(request.texts.front()) &&
           std::none_of(request.texts.begin() + 1, request.texts.end(), [](const std::string& text) {
               return contains_commit(text) || ends_transaction(text) ||
                      classify_statements(text).kind > statement_kind::writes;
           });
}

/// A string of several statements that opens a transaction and leaves it open ("BEGIN; SET TRANSACTION READ ONLY", as libpqxx
/// says it): none of it can have stayed either.
bool opens_in_string(const sent_request& request) {
    using action = transaction_step::action;
    if (request.opaque || request.texts.size() != 1) return false;
    const std::string& text = request.texts.front();
    if (leading_word(text) != "BEGIN" && leading_word(text) != "START") return false;
    const token_hits hits = scan_tokens(text);
    const statement_class seen = classify_statements(text, hits);
    const auto beyond = [](statement_kind each) { return each == statement_kind::writes_beyond; };
    if (!seen.parsed || std::any_of(seen.statements.begin(), seen.statements.end(), beyond)) return false;
    const std::vector<transaction_step> steps = analyse_effects(text, hits).transactions;
    if (steps.empty() || steps.front().kind != action::begin || steps.front().statement != 0) return false;
    return std::all_of(steps.begin() + 1, steps.end(), [](const transaction_step& each) {
        return each.kind == action::savepoint || each.kind == action::release || each.kind == action::rollback_to;
    });
}

/// As far as can be seen, what its client sends behind it stands in a transaction.
bool leaves_open(const sent_request& request) {
    using action = transaction_step::action;
    bool open = false;
    for (const std::string& text : request.texts) {
        const std::vector<transaction_step> steps = analyse_effects(text, scan_tokens(text)).transactions;
        if (steps.empty() && (leading_word(text) == "BEGIN" || leading_word(text) == "START")) open = true;
        for (const transaction_step& each : steps) {
            if (each.kind == action::begin) open = true;
            const bool ends =
                each.kind == action::commit || each.kind == action::rollback || each.kind == action::prepare;
            if (ends) open = each.chain;
        }
    }
    return open;
}

bool controls_transaction(const sent_request& request) {
    return std::any_of(request.texts.begin(), request.texts.end(), [](const std::string& text) {
        return scan_tokens(text).has(transaction_mask | token_hit::call | token_hit::do_block);
    });
}

/// A request of which its Sync commits everything: one number stands for all of it (D33).
bool commits_itself(const sent_request& request) {
    if (!request.whole || request.opaque || request.texts.empty()) return false;
    return std::all_of(request.texts.begin(), request.texts.end(), [](const std::string& text) {
        const token_hits hits = scan_tokens(text);
        if (hits.has(needs_parser_mask | transaction_mask | token_hit::call | token_hit::notify)) return false;
        const statement_class seen = classify_statements(text, hits);
        return seen.parsed && std::all_of(seen.statements.begin(), seen.statements.end(), [](statement_kind each) {
                   return each == statement_kind::reads || each == statement_kind::writes;
               });
    });
}

/// A text that looks at the guard itself would see it.
bool mentions_guard(std::string_view text) { return mentions(text, "read_only"); }

class planner {
public:
    planner(const std::vector<sent_request>& sent, const loss_facts& facts) : sent_(sent), facts_(facts) {}

    recovery_plan plan() {
        plan_.obstacle = facts_.obstacle;
        plan_.may_replay = facts_.may_replay && facts_.status != 'I';
        unreached_ = facts_.unreached && !sent_.empty() && commits_itself(sent_.front());
        if (facts_.status != 'I') in_block(facts_.status == 'E');
        while (at_ < sent_.size()) outside();
        return std::move(plan_);
    }

private:
    void add(request_fate fate, std::vector<statement_class> reads = {}) {
        plan_.requests.push_back({sent_[at_].frames, fate, sent_[at_].whole, false, false, std::move(reads), false});
        ++at_;
    }

    /// The last of all ends the block and opens the next, in which nothing was sent yet.
    bool chains(std::size_t i) const { return i + 1 == sent_.size() && only_chains(sent_[i]); }

    /// The first request from here on that ends the block; sent_.size(): none does.
    std::size_t end_of_block(bool& commit) const {
        commit = false;
        for (std::size_t i = at_; i < sent_.size(); ++i) {
            commit = commits(sent_[i]);
            if (commit || only_ends(sent_[i]) || chains(i)) return i;
        }
        return sent_.size();
    }

    /// The rest of a transaction that was open, or that the request at hand begins.
    void in_block(bool failed) {
        bool commit = false;
        const std::size_t end = end_of_block(commit);
        if (end == sent_.size() && replayable(failed)) return replay_block();
        bool revived = false;  // ROLLBACK TO a savepoint may have healed a failed transaction before its COMMIT
        for (std::size_t i = at_; i < end; ++i) revived |= to_savepoint(sent_[i]);
        if (commit && (!failed || revived)) {
            if (at_ == 0 && end == 0 && facts_.status == 'T') return the_commit();
            if (resolvable(end)) return commit_behind_others(end);
            while (at_ <= end) add(request_fate::commit_unknown);
            return;
        }
        if (facts_.status != 'I' && at_ == 0) plan_.block_lost = true;  // not one that begins behind it
        bool told = failed;
        while (at_ < sent_.size() && at_ <= end) {
            // What has been answered in part can only be ended with an error.
            const bool cut = facts_.delivered && at_ == 0;
            const bool tells = cut || (!told && at_ != end);
            add(tells ? request_fate::transaction_lost : request_fate::in_lost_block);
            plan_.requests.back().opens_lost_block = tells;
            told |= tells;
        }
    }

    /// Nothing of the block has been asked to end, and all that may have been executed in it can be sent again.
    bool replayable(bool failed) {
        if (!facts_.may_replay || (failed && !facts_.revives)) return false;
        if (facts_.delivered && at_ == 0 && !facts_.resumable) return false;
        if (facts_.status != 'I' && at_ == 0) {
            plan_.obstacle = facts_.in_flight;
            return plan_.obstacle.empty();
        }
        replay_judge judge(false);
        for (std::size_t i = at_; i < sent_.size(); ++i) {
            if (sent_[i].opaque) plan_.obstacle = "has a statement that is not known";
            for (const std::string& text : sent_[i].texts)
                if (!judge.take(text)) plan_.obstacle = judge.obstacle();
            if (!plan_.obstacle.empty()) return false;
        }
        return true;
    }

    /// T10: never a part of it by itself.
    void replay_block() {
        plan_.needs_fence = true;
        plan_.replays = facts_.status != 'I' && at_ == 0;
        while (at_ < sent_.size()) {
            const bool resumes = facts_.delivered && at_ == 0;
            add(request_fate::again_in_block);
            plan_.requests.back().resumes = resumes;
        }
    }

    /// The first request may have committed the transaction that was open before it.
    void the_commit() {
        const bool answerable = (only_commits(sent_[at_]) || chains(at_)) && !facts_.delivered;
        if (facts_.unreplicated) return add(request_fate::commit_unknown);
        if (facts_.committed)
            return add(answerable                 ? request_fate::commit_done
                       : commits_last(sent_[at_]) ? request_fate::committed
                                                  : request_fate::commit_unknown);
        if (answerable && facts_.commit.what == commit_evidence::read_only) return add(request_fate::commit_done);
        if (answerable && facts_.commit.what == commit_evidence::ask && facts_.may_retry)
            return add(request_fate::commit_read, {facts_.commit.reads});
        if (!facts_.captured || !facts_.may_retry || !is_the_commit(sent_[at_]))
            return add(request_fate::commit_unknown);
        add(request_fate::commit_resolve);
        plan_.requests.back().answerable = answerable;
        plan_.requests.back().obstacle = obstacle_of_commit(sent_[at_ - 1]);
        plan_.requests.back().resumes = facts_.delivered;
    }

    /// What stands before the COMMIT has no answer either, and is all of the transaction whose number is known (T9).
    bool resolvable(std::size_t end) const {
        if (at_ != 0 || facts_.status != 'T' || !facts_.captured || facts_.committed || !facts_.may_retry) return false;
        for (std::size_t i = 0; i < end; ++i)
            if (!sent_[i].whole || sent_[i].opaque || controls_transaction(sent_[i])) return false;
        return is_the_commit(sent_[end]);
    }

    /// All of them are judged together. Their answers are lost even if it was carried out.
    void commit_behind_others(std::size_t end) {
        sent_request all;
        for (std::size_t i = 0; i <= end; ++i)
            all.texts.insert(all.texts.end(), sent_[i].texts.begin(), sent_[i].texts.end());
        while (at_ <= end) {
            add(request_fate::commit_resolve);
            plan_.requests.back().follows = at_ > 1;
        }
        plan_.requests.front().obstacle = obstacle_of_commit(all);
        plan_.requests.front().resumes = facts_.delivered;
    }

    /// Why the transaction cannot be given again, this request with it, if it turns out not to have been committed.
    std::string obstacle_of_commit(const sent_request& request) const {
        if (!facts_.may_replay) return facts_.obstacle.empty() ? "is not known well enough" : facts_.obstacle;
        if (facts_.delivered && !facts_.resumable) return "has an answer that was delivered in part";
        return obstacle_of_texts(request, request.texts.size() - 1);
    }

    /// The same of what has no COMMIT.
    std::string obstacle_of_all(const sent_request& request) const {
        if (!facts_.may_replay) return facts_.obstacle.empty() ? "is not known well enough" : facts_.obstacle;
        return obstacle_of_texts(request, request.texts.size());
    }

    static std::string obstacle_of_texts(const sent_request& request, std::size_t count) {
        replay_judge judge(true);
        for (std::size_t i = 0; i < count; ++i)
            if (!judge.take(request.texts[i])) return judge.obstacle();
        return {};
    }

    /// A write that its Sync commits; its capture, which is the last that it says before, has arrived.
    void gated() {
        if (facts_.committed) return add(request_fate::answered);
        add(request_fate::commit_resolve);
        planned_request& it = plan_.requests.back();
        it.autocommit = true;
        if (facts_.delivered) it.obstacle = "has an answer that was delivered in part";
        else it.obstacle = obstacle_of_all(sent_[at_ - 1]);
    }

    void outside() {
        const sent_request& request = sent_[at_];
        const bool delivered = facts_.delivered && at_ == 0;
        // Transaction control inside of it: nobody knows which of its commits was meant.
        if ((facts_.committed || facts_.unreplicated) && at_ == 0 && request.whole && !controls_transaction(request)) {
            if (facts_.unreplicated) return add(request_fate::commit_unknown);
            return add(request_fate::committed);
        }
        if (only_begins(request) && request.whole) {
            if (!delivered && at_ + 1 == sent_.size() && facts_.may_retry) return add(request_fate::again);
            // What follows, sent or still to come, stands in the transaction that it has begun: it is gone, or its COMMIT is
            // in doubt (T10).
            return in_block(false);
        }
        // Nothing of it, and of what follows it, can have remained.
        if (unreached_)
            return add(facts_.may_retry && !delivered ? request_fate::again : request_fate::transaction_lost);
        if (facts_.captured && at_ == 0 && facts_.may_retry && commits_itself(request)) return gated();
        if ((begins_and_goes_on(request) || opens_in_string(request)) && request.whole) return in_block(false);
        std::vector<statement_class> reads;
        const request_fate fate = judge(request, reads);
        const bool repeats = fate == request_fate::again || fate == request_fate::again_read;
        if (delivered && repeats && facts_.continuable && facts_.may_retry) {
            add(fate, std::move(reads));
            plan_.requests.back().resumes = true;
            return;
        }
        if (delivered && repeats && fate == request_fate::again_read) return add(request_fate::result_lost);
        if (repeats && (delivered || !facts_.may_retry)) {
            add(request.whole ? request_fate::statement_unknown : request_fate::transaction_lost);
            // What its client sends behind it stands in the transaction that it was to begin (T10).
            plan_.requests.back().opens_lost_block = !request.whole && request.may_begin;
            return;
        }
        if (!repeats && leaves_open(request)) return lost_block(fate);
        add(fate, std::move(reads));
    }

    /// A request of which nobody can say what became of it has begun a transaction: what follows stands in it (T10).
    void lost_block(request_fate fate) {
        add(fate);
        const std::size_t first = plan_.requests.size() - 1;
        bool commit = false;
        const std::size_t end = end_of_block(commit);
        if (commit) plan_.requests[first].fate = request_fate::commit_unknown;
        else plan_.requests[first].opens_lost_block = true;
        while (at_ < sent_.size() && at_ <= end)
            add(commit ? request_fate::commit_unknown : request_fate::in_lost_block);
    }

    /// A request outside of any block, as if nothing of its answer had been delivered.
    static request_fate judge(const sent_request& request, std::vector<statement_class>& reads) {
        if (request.opaque) return request_fate::statement_unknown;
        if (request.texts.empty()) return request_fate::again;  // only prepares and describes
        statement_kind worst = statement_kind::reads;
        bool any_read = false;
        for (const std::string& text : request.texts) {
            statement_class each = classify_statements(text);
            worst = std::max(worst, each.kind);
            any_read |= each.statements.empty() ||
                        std::any_of(each.statements.begin(), each.statements.end(),
                                    [](statement_kind kind) { return kind == statement_kind::reads; });
            reads.push_back(std::move(each));
        }
        // Without its Sync a segment cannot have been committed, whatever it wrote (phase L), but by itself.
        if (!request.whole && worst <= statement_kind::writes && !commits(request)) {
            reads.clear();
            return request_fate::again;
        }
        if (std::any_of(request.texts.begin(), request.texts.end(), mentions_guard)) {
            reads.clear();
            const bool shows = request.texts.size() == 1 && leading_word(request.texts.front()) == "SHOW" &&
                               worst == statement_kind::reads;
            return shows ? request_fate::again : request_fate::statement_unknown;
        }
        if (worst == statement_kind::reads || (worst == statement_kind::session_state && any_read))
            return request_fate::again_read;
        reads.clear();
        if (worst == statement_kind::session_state) return request_fate::again;
        return commits(request) ? request_fate::commit_unknown : request_fate::statement_unknown;
    }

    const std::vector<sent_request>& sent_;
    const loss_facts& facts_;
    std::size_t at_ = 0;
    bool unreached_ = false;
    recovery_plan plan_;
};

}  // namespace

bool split_requests(std::string_view kept, std::size_t answered, const statement_text& text_of,
                    std::vector<sent_request>& out) {
    splitter walk(kept, text_of);
    sent_request each;
    for (; walk.next(each); each = {}) {
        if (walk.after_copy() && !out.empty()) out.back().opaque = true;
        if (answered > 0) --answered;
        else out.push_back(std::move(each));
    }
    if (walk.after_copy() && !out.empty()) out.back().opaque = true;
    return !walk.malformed() && answered == 0;
}

bool executed_texts(std::string_view frames, const statement_text& text_of, std::vector<std::string>& out,
                    bool as_of_begin) {
    splitter walk(frames, text_of, true);
    for (sent_request each; walk.next(each); each = {}) {
        if (each.opaque || (!each.whole && !as_of_begin) || walk.after_copy()) return false;
        out.insert(out.end(), std::make_move_iterator(each.texts.begin()), std::make_move_iterator(each.texts.end()));
    }
    return !walk.malformed() && (as_of_begin || !walk.renamed()) && !walk.after_copy();
}

recovery_plan plan_recovery(const std::vector<sent_request>& sent, const loss_facts& facts) {
    return planner(sent, facts).plan();
}

}  // namespace pgsteady
