// Transactions of a modelled backend: xid, rows, savepoints, and the steps of a COMMIT. See model_backend.hpp.
#include "tests/simulation/model_host.hpp"
#include "tests/support/sql_pieces.hpp"
#include "tests/support/wire_builders.hpp"

#include <algorithm>

namespace pgsteady::simulation {

namespace server = testing::server;
using testing::ends_transaction;

namespace {

std::string standby_farewell(bool terminating) {
    // Only the C function's name shows that PostgreSQL itself says it.
    std::string said = server::notice(
        terminating ? "57P01" : "01000",
        terminating
            ? "canceling the wait for synchronous replication and terminating connection due to administrator command"
            : "canceling wait for synchronous replication due to user request",
        "WARNING");
    const std::string routine = std::string("RSyncRepWaitForLSN") + '\0';
    said.insert(said.size() - 1, routine);
    const auto length = static_cast<std::uint32_t>(said.size() - 1);
    for (std::size_t i = 0; i < 4; ++i) said[1 + i] = static_cast<char>((length >> (24 - 8 * i)) & 0xFF);
    return said;
}

}  // namespace

void model_backend::begin_command(const sql_statement& statement) {
    if (state_ == transaction::failed && !ends_transaction(statement))
        throw sql_error("25P02", "current transaction is aborted, commands ignored until end of transaction block");
    if (state_ != transaction::none) return;
    state_ = transaction::implicit;
    read_only_ = settings_.get("default_transaction_read_only") == "on";
    wanted_ = channels_;
    begun_ = mark{{}, settings_, 0, 0, wanted_};
}

/// AND CHAIN: a block with the characteristics of the one that has ended.
void model_backend::chain_on(bool read_only) {
    begin_command({});
    state_ = transaction::open;
    read_only_ = read_only;
}

void model_backend::need_xid() {
    if (xid_ == 0) xid_ = host_.storage.assign();
}

void model_backend::add(change what) {
    need_xid();
    (void)host_.storage.write(xid_);
    changes_.push_back(std::move(what));
}

bool model_backend::lock(const std::string& row) {
    model_backend* const other = host_.lock(row, *this);
    if (other == nullptr) {
        if (std::find(locks_.begin(), locks_.end(), row) == locks_.end()) locks_.push_back(row);
        return true;
    }
    for (const model_backend* next = other; next != nullptr; next = next->waits_for())
        if (next == this || next->waits_for() == this) throw sql_error("40P01", "deadlock detected");
    waits_for_ = other;
    return false;
}

void model_backend::release_locks(std::size_t from) {
    for (std::size_t i = from; i < locks_.size(); ++i) host_.unlock(locks_[i]);
    locks_.resize(std::min(from, locks_.size()));
}

/// A deferred unique constraint is looked at when the transaction commits. Its rows are locked, so nobody else's are in
/// doubt.
void model_backend::check_deferred() const {
    for (std::size_t i = 0; i < changes_.size(); ++i) {
        if (changes_[i].what != change::kind::once_row) continue;
        const auto same = [&](const change& each) {
            return each.what == change::kind::once_row && each.text == changes_[i].text;
        };
        const auto& there = host_.storage.once();
        const bool committed = std::find(there.begin(), there.end(), changes_[i].text) != there.end();
        if (committed || std::count_if(changes_.begin(), changes_.end(), same) > 1)
            throw sql_error("23505", "duplicate key value violates unique constraint \"once_id_key\"");
    }
}

bool model_backend::commit() {
    if (commit_.phase == commit_phase::none) {
        check_deferred();
        const auto is_note = [](const change& each) { return each.what == change::kind::note; };
        if (std::any_of(changes_.begin(), changes_.end(), is_note)) need_xid();  // not before (E7)
        if (xid_ == 0) {
            channels_ = wanted_;
            end_transaction();
            return true;
        }
        std::int64_t moved = 0;
        for (const change& each : changes_) moved += each.by;
        host_.torn_commits += moved != 0;
        commit_ = {commit_phase::recorded, host_.storage.write_commit(xid_, changes_)};
        until_ = host_.now + host_.latency();
        if (until_ > host_.now && !terminating_) return false;
    }
    if (commit_.phase == commit_phase::recorded) {
        if (!host_.lazy_flush) host_.storage.flush(commit_.record);
        commit_.phase = commit_phase::waiting;
    }
    const bool cut_short = host_.waits_for_standby && host_.replicated < commit_.record;
    if (cut_short) {
        if (!terminating_ && !cancelled_) return false;
        standby_words_ = standby_farewell(terminating_);
    }
    host_.storage.make_visible(xid_);
    channels_ = wanted_;
    end_transaction();
    cancelled_ = false;
    if (!cut_short || !terminating_) return true;
    out_ += std::exchange(standby_words_, {});
    die();
    return true;
}

void model_backend::roll_back() {
    if (begun_) settings_ = begun_->settings;
    if (xid_ != 0) host_.storage.abort(xid_);
    end_transaction();
}

/// What fails is undone at once, up to the last savepoint; the block stays until the client ends it.
void model_backend::fail_transaction() {
    state_ = transaction::failed;
    release_locks(savepoints_.empty() ? 0 : savepoints_.back().locks);
    if (!savepoints_.empty()) return;
    if (xid_ != 0) host_.storage.abort(std::exchange(xid_, 0));
    changes_.clear();
    // READ ONLY is a setting of the transaction, too: what AND CHAIN inherits from a failed one is the default.
    settings_ = begun_->settings;
    read_only_ = settings_.get("default_transaction_read_only") == "on";
}

void model_backend::end_transaction() {
    settings_.end_transaction();
    release_locks(0);
    changes_.clear();
    savepoints_.clear();
    begun_.reset();
    portals_.clear();
    xid_ = 0;
    commit_ = {};
    sleeps_until_.reset();
    state_ = transaction::none;
}

std::optional<model_backend::answer> model_backend::run_transaction(const sql_statement& statement) {
    const std::string& verb = statement.at(0);
    const bool chain = statement.is(statement.size() - 1, "chain") && !statement.is(statement.size() - 2, "no");
    const bool as_before = read_only_;
    answer result;
    if (verb == "begin" || verb == "start") {
        if (state_ == transaction::open)
            out_ += server::notice("25001", "there is already a transaction in progress", "WARNING");
        state_ = transaction::open;
        if (statement.is(statement.size() - 2, "read")) read_only_ = statement.is(statement.size() - 1, "only");
        result.tag = verb == "begin" ? "BEGIN" : "START TRANSACTION";
        return result;
    }
    if (verb == "rollback" || verb == "abort") return run_rollback(statement);
    if (verb == "commit" || verb == "end") {
        const bool failed = state_ == transaction::failed;
        const bool block = state_ != transaction::implicit;
        if (!block && chain) throw sql_error("25P01", "COMMIT AND CHAIN can only be used in transaction blocks");
        if (failed) {
            roll_back();
        } else {
            try {
                if (!commit()) return std::nullopt;
            } catch (const sql_error&) {
                state_ = transaction::implicit;  // the block is over, whatever becomes of the error
                throw;
            }
        }
        if (!block && !ended_) out_ += server::notice("25P01", "there is no transaction in progress", "WARNING");
        result.tag = failed ? "ROLLBACK" : "COMMIT";
        if (chain) chain_on(as_before);
        return result;
    }
    if (state_ == transaction::implicit) {
        std::string name = verb;
        for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
        throw sql_error("25P01",
                        name + (verb == "release" ? " SAVEPOINT" : "") + " can only be used in transaction blocks");
    }
    const std::string& name = statement.at(verb == "release" && statement.is(1, "savepoint") ? 2 : 1);
    if (verb == "savepoint") {
        savepoints_.push_back({name, settings_, changes_.size(), locks_.size(), wanted_});
        result.tag = "SAVEPOINT";
        return result;
    }
    const auto is_it = [&](const mark& each) { return each.name == name; };
    if (std::none_of(savepoints_.begin(), savepoints_.end(), is_it))
        throw sql_error("3B001", "savepoint \"" + name + "\" does not exist");
    while (!is_it(savepoints_.back())) savepoints_.pop_back();
    savepoints_.pop_back();
    result.tag = "RELEASE";
    return result;
}

std::optional<model_backend::answer> model_backend::run_rollback(const sql_statement& statement) {
    const bool as_before = read_only_;
    answer result;
    result.tag = "ROLLBACK";
    const bool chain = statement.is(statement.size() - 1, "chain") && !statement.is(statement.size() - 2, "no");
    if (!statement.is(1, "to")) {
        const bool block = state_ != transaction::implicit;
        if (!block && chain) throw sql_error("25P01", "ROLLBACK AND CHAIN can only be used in transaction blocks");
        if (!block) out_ += server::notice("25P01", "there is no transaction in progress", "WARNING");
        roll_back();
        if (chain) chain_on(as_before);
        return result;
    }
    if (state_ == transaction::implicit)
        throw sql_error("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks");
    const std::string& name = statement.at(statement.is(2, "savepoint") ? 3 : 2);
    const auto is_it = [&](const mark& each) { return each.name == name; };
    if (std::none_of(savepoints_.begin(), savepoints_.end(), is_it))
        throw sql_error("3B001", "savepoint \"" + name + "\" does not exist");
    while (!is_it(savepoints_.back())) savepoints_.pop_back();
    const mark& back = savepoints_.back();
    settings_ = back.settings;
    changes_.resize(back.changes);
    release_locks(back.locks);
    wanted_ = back.wanted;
    state_ = transaction::open;
    return result;
}

}  // namespace pgsteady::simulation
