// See belief.hpp.
#include "tests/support/belief.hpp"

#include <algorithm>

namespace pgsteady::testing {

const frame* app_reply::error() const {
    const auto at = std::find_if(frames.begin(), frames.end(), [](const frame& each) { return each.type == 'E'; });
    return at == frames.end() ? nullptr : &*at;
}

std::string app_reply::sqlstate() const { return error() == nullptr ? "" : field_of(*error(), 'C'); }

std::string app_reply::outcome() const {
    if (error() == nullptr) return {};
    const std::string detail = field_of(*error(), 'D');
    const std::size_t at = detail.find("outcome=");
    if (at == std::string::npos) return {};
    return detail.substr(at + 8, detail.find(' ', at) - at - 8);
}

bool app_reply::has_tag(std::string_view tag) const {
    return std::any_of(frames.begin(), frames.end(), [&](const frame& each) {
        return each.type == 'C' && std::string_view(each.body).substr(0, each.body.find('\0')) == tag;
    });
}

std::string app_reply::text() const {
    std::string all;
    for (const frame& each : frames)
        if (each.type != 'S') all += frame_of(each.type, each.body);
    return all;
}

std::vector<app_reply> split_replies(const std::string& stream) {
    std::vector<app_reply> replies(1);
    for (const frame& each : split_frames(stream)) {
        replies.back().frames.push_back(each);
        if (each.type != 'Z') continue;
        replies.back().status = each.body.front();
        replies.emplace_back();
    }
    if (replies.back().frames.empty()) replies.pop_back();
    return replies;
}

void application::hear(const app_request& asked, const app_reply& got) {
    const bool block = status_ == 'T';
    std::vector<std::string> at_stake = asked.rows;
    if (block) at_stake.insert(at_stake.begin(), open_.begin(), open_.end());
    const std::string outcome = got.outcome();
    if (got.status == 0) {  // the last word was FATAL
        believe(at_stake, outcome == "unknown" || outcome.empty() ? belief::unknown : belief::absent);
        open_.clear();
        status_ = 'X';
        return;
    }
    if (outcome == "unknown") {
        believe(at_stake, belief::unknown);
        open_.clear();
    } else if (outcome == "committed") {
        believe(at_stake, belief::present);
        open_.clear();
    } else if (outcome == "not_executed" && got.status == 'T') {
        believe(asked.rows, belief::absent);
    } else if (got.error() != nullptr || status_ == 'E') {  // rolled back, by the server or with it
        believe(at_stake, belief::absent);
        open_.clear();
    } else if (got.status == 'T' && !asked.chains) {
        open_ = at_stake;
    } else {  // a commit, explicit or not; or the transaction ended otherwise
        believe(at_stake, got.has_tag("ROLLBACK") ? belief::absent : belief::present);
        open_.clear();
    }
    status_ = got.status;
}

void application::end() {
    believe(open_, belief::absent);
    open_.clear();
}

void application::believe(const std::vector<std::string>& rows, belief what) {
    if (!rows.empty()) groups.push_back({rows, what});
}

std::vector<std::string> untruths(const application& app, const std::vector<std::string>& log) {
    std::vector<std::string> found;
    for (const application::group& group : app.groups) {
        std::size_t there = 0;
        for (const std::string& row : group.rows) {
            const auto times = std::count(log.begin(), log.end(), row);
            if (times > 1) found.push_back("done twice: " + row);
            there += static_cast<std::size_t>(times);
        }
        const std::string& first = group.rows.front();
        if (group.what == application::belief::present && there != group.rows.size())
            found.push_back("acknowledged and lost: " + first);
        if (group.what == application::belief::absent && there != 0)
            found.push_back("said not to have happened: " + first);
        if (there != 0 && there != group.rows.size()) found.push_back("half of it happened: " + first);
    }
    return found;
}

}  // namespace pgsteady::testing
