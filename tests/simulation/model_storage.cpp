// See model_storage.hpp.
#include "tests/simulation/model_storage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace pgsteady::simulation {

namespace {
constexpr lsn first_position = 0x1528600;
constexpr lsn record_bytes[] = {64, 56, 40, 40, 120};  // by record::kind
}  // namespace

std::string to_text(lsn position) { return fmt::format("{:X}/{:X}", position >> 32, position & 0xFFFFFFFF); }

model_storage::model_storage(std::uint32_t accounts, std::int64_t balance)
    : end_(first_position),
      flushed_(first_position),
      first_(next_),
      initial_balance_(balance),
      balances_(accounts, balance) {}

xid model_storage::assign() {
    const xid x = next_++;
    status_[x] = xact_status::in_progress;
    return x;
}

lsn model_storage::append(record each) {
    end_ += record_bytes[static_cast<std::size_t>(each.what)];
    each.end = end_;
    each.origin = origin;
    wal_.push_back(std::move(each));
    return end_;
}

lsn model_storage::write_commit(xid x, std::vector<change> changes) {
    return append({0, x, record::kind::commit, std::move(changes), 0, 0});
}

void model_storage::make_visible(xid x) {
    status_[x] = xact_status::committed;
    const auto at = std::find_if(wal_.rbegin(), wal_.rend(), [x](const record& each) {
        return each.bears == x && each.what == record::kind::commit;
    });
    apply(at->changes);
}

void model_storage::abort(xid x) {
    append({0, x, record::kind::abort, {}, 0, 0});
    status_[x] = xact_status::aborted;
}

void model_storage::apply(const std::vector<change>& changes) {
    for (const change& each : changes) {
        switch (each.what) {
            case change::kind::log_row: log_.push_back(each.text); break;
            case change::kind::once_row: once_.push_back(each.text); break;
            case change::kind::note: notes_.push_back(each.text); break;
            case change::kind::balance: balances_.at(each.account - 1) += each.by; break;
        }
    }
}

/// Numbers that no surviving record bears were never given out, as far as the server can know (E1).
void model_storage::recover(lsn up_to) {
    std::erase_if(wal_, [&](const record& each) { return each.end > up_to; });
    end_ = wal_.empty() ? first_position : wal_.back().end;
    replayed_ = end_;
    next_ = first_;
    status_.clear();
    log_.clear();
    once_.clear();
    notes_.clear();
    std::fill(balances_.begin(), balances_.end(), initial_balance_);
    for (const record& each : wal_) {
        next_ = std::max({next_, each.next, each.bears + 1});
        if (each.what != record::kind::commit) continue;
        status_[each.bears] = xact_status::committed;
        apply(each.changes);
    }
    for (xid x = first_; x < next_; ++x) status_.emplace(x, xact_status::aborted);
    append({0, 0, record::kind::checkpoint, {}, next_, 0});
    flushed_ = end_;
}

void model_storage::restart_cleanly() {
    append({0, 0, record::kind::checkpoint, {}, next_, 0});
    flushed_ = end_;
    replayed_.reset();
}

model_storage model_storage::promoted(lsn received) const {
    model_storage copy = *this;
    copy.recover(std::min(received, flushed_));
    ++copy.timeline_;
    return copy;
}

xact_status model_storage::status(xid x) const {
    if (x >= next_) return xact_status::in_future;
    const auto at = status_.find(x);
    return at == status_.end() ? xact_status::aborted : at->second;
}

bool model_storage::has_committed(std::uint64_t origin_of_x, xid x) const {
    return std::any_of(wal_.begin(), wal_.end(), [&](const record& each) {
        return each.what == record::kind::commit && each.bears == x && each.origin == origin_of_x &&
               status(x) == xact_status::committed;
    });
}

std::int64_t model_storage::total() const {
    return std::accumulate(balances_.begin(), balances_.end(), std::int64_t{0});
}

std::vector<std::string> model_storage::effects() const {
    std::vector<std::string> all = log_;
    all.insert(all.end(), notes_.begin(), notes_.end());
    return all;
}

std::vector<std::string> model_storage::effects_behind(lsn position) const {
    std::vector<std::string> rows;
    for (const record& each : wal_) {
        if (each.end <= position || each.what != record::kind::commit) continue;
        for (const change& one : each.changes)
            if (one.what == change::kind::log_row || one.what == change::kind::note) rows.push_back(one.text);
    }
    return rows;
}

}  // namespace pgsteady::simulation
