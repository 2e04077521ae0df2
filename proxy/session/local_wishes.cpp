// See local_wishes.hpp.
#include "proxy/session/local_wishes.hpp"

#include "proxy/session/savepoint_steps.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pgsteady {

bool is_retry_wish(std::string_view name) {
    static constexpr std::array<std::string_view, 3> known = {"pgsteady.max_retries", "pgsteady.retry_strategy",
                                                              "pgsteady.retry_timeout"};
    return std::find(known.begin(), known.end(), name) != known.end();
}

bool begins_local_wishes(const statement_effects& effects) {
    return std::any_of(effects.settings.begin(), effects.settings.end(),
                       [](const setting_change& each) { return each.local && is_retry_wish(each.name); });
}

void local_wishes::note(const statement_effects& effects) {
    auto setting = effects.settings.begin();
    for (const transaction_step& said : effects.transactions) {
        for (; setting != effects.settings.end() && setting->statement < said.statement; ++setting) set(*setting);
        follow(said);
    }
    for (; setting != effects.settings.end(); ++setting) set(*setting);
    if (effects.reset_all) rolled_back();
}

void local_wishes::set(const setting_change& change) {
    if (!is_retry_wish(change.name)) return;
    const bool assigns = change.kind == setting_change::action::assign;
    if (assigns && !change.value) return;
    // What is set for the session holds at once, over what was set for the transaction.
    add({change.name, false, change.local && assigns ? change.value : std::nullopt});
}

void local_wishes::follow(const transaction_step& said) {
    using action = transaction_step::action;
    switch (said.kind) {
        case action::begin: return;
        case action::savepoint: return add({said.name, true, std::nullopt});
        case action::release:
        case action::rollback_to: return follow_savepoint(steps_, said);
        default: steps_.clear(); too_many_ = false;
    }
}

void local_wishes::add(step next) {
    if (too_many_) return;
    const bool again =
        !next.savepoint && !steps_.empty() && !steps_.back().savepoint && steps_.back().name == next.name;
    if (again) {
        steps_.back() = std::move(next);
        return;
    }
    if (steps_.size() < max_steps) return steps_.push_back(std::move(next));
    steps_.clear();
    too_many_ = true;
}

const std::string* local_wishes::find(std::string_view name) const {
    const auto last = std::find_if(steps_.rbegin(), steps_.rend(),
                                   [&](const step& each) { return !each.savepoint && each.name == name; });
    return last != steps_.rend() && last->value ? &*last->value : nullptr;
}

}  // namespace pgsteady
