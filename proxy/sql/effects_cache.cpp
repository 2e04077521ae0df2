// See effects_cache.hpp.
#include "proxy/sql/effects_cache.hpp"

#include <utility>

namespace pgsteady {
namespace {

constexpr std::size_t entry_overhead = 160;  // list node, index node and control block, about

}  // namespace

std::shared_ptr<const statement_effects> effects_cache::get(std::string_view sql, token_hits hits) {
    if (const auto found = index_.find(sql); found != index_.end()) {
        order_.splice(order_.begin(), order_, found->second);
        return found->second->effects;
    }
    auto effects = std::make_shared<const statement_effects>(analyse_effects(sql, hits));
    const std::size_t cost = sql.size() + effects->footprint() + entry_overhead;
    if (cost > max_bytes_ / 8) return effects;

    evict_to(max_bytes_ - cost);
    order_.push_front(entry{std::string(sql), effects, cost});
    index_.emplace(order_.front().text, order_.begin());
    bytes_ += cost;
    return effects;
}

void effects_cache::evict_to(std::size_t limit) {
    while (bytes_ > limit) {
        const entry& oldest = order_.back();
        index_.erase(oldest.text);
        bytes_ -= oldest.cost;
        order_.pop_back();
    }
}

}  // namespace pgsteady
