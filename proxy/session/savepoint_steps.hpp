// What a transaction's savepoints do to things that were noted in order: ROLLBACK TO takes back what came behind the
// savepoint, RELEASE forgets it and those within it. Steps are followed from the first noted thing on, so a savepoint that
// is not known stands in front of all of them. Pure; whoever keeps the steps bounds their number.
#pragma once

#include "proxy/sql/statement_effects.hpp"

#include <algorithm>
#include <vector>

namespace pgsteady {

/// RELEASE or ROLLBACK TO of `said.name`; anything else changes nothing. A step has `savepoint`, and then its `name`.
template <class Step>
void follow_savepoint(std::vector<Step>& steps, const transaction_step& said) {
    const auto mark = std::find_if(steps.rbegin(), steps.rend(),
                                   [&](const Step& each) { return each.savepoint && each.name == said.name; });
    // Its base is behind the savepoint itself, which a rollback leaves.
    const auto behind = mark == steps.rend() ? steps.begin() : mark.base();
    if (said.kind == transaction_step::action::rollback_to) {
        steps.erase(behind, steps.end());
    } else if (said.kind == transaction_step::action::release) {
        const auto from = mark == steps.rend() ? behind : behind - 1;
        steps.erase(std::remove_if(from, steps.end(), [](const Step& each) { return each.savepoint; }), steps.end());
    }
}

}  // namespace pgsteady
