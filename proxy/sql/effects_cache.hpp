// Remembers what analyse_effects() said about a text, least recently used out first, bounded in bytes.
// Single-threaded: one per worker. Values are shared, so an eviction never pulls one from under a session.
#pragma once

#include "proxy/sql/statement_effects.hpp"

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgsteady {

class effects_cache {
public:
    /// `max_bytes` bounds texts, values and bookkeeping together; 0 turns the cache off (every get() analyses).
    explicit effects_cache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

    effects_cache(const effects_cache&) = delete;
    effects_cache& operator=(const effects_cache&) = delete;

    /// The effects of `sql`; analysed at the first request. `hits` must be the scan of the same text. Never null.
    /// A text that alone takes more than an eighth of the limit is analysed but not kept.
    [[nodiscard]] std::shared_ptr<const statement_effects> get(std::string_view sql, token_hits hits);

    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return index_.size(); }

private:
    struct entry {
        std::string text;
        std::shared_ptr<const statement_effects> effects;
        std::size_t cost = 0;
    };
    using order = std::list<entry>;  // front = most recently used

    void evict_to(std::size_t limit);

    std::size_t max_bytes_;
    std::size_t bytes_ = 0;
    order order_;
    std::unordered_map<std::string_view, order::iterator> index_;  // keys are views of order_'s texts
};

}  // namespace pgsteady
