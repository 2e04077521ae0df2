// See catalogue_facts.hpp.
#include "proxy/sql/catalogue_facts.hpp"

namespace pgsteady {
namespace {

constexpr std::size_t entry_overhead = 160;  // node, key and vector, about
constexpr std::size_t row_overhead = 80;

}  // namespace

void catalogue_facts::set_limits(std::size_t max_bytes, std::chrono::milliseconds max_age) {
    max_bytes_ = max_age.count() > 0 ? max_bytes : 0;
    max_age_ = max_age;
    if (bytes_ > max_bytes_) forget();
}

void catalogue_facts::set_version(std::uint64_t version) {
    if (version == version_) return;
    version_ = version;
    forget();
}

void catalogue_facts::forget() {
    known_.clear();
    bytes_ = 0;
}

std::string catalogue_facts::key_of(part of, std::size_t host, const sql_name& name) {
    std::string key = std::to_string(host);
    key += static_cast<char>('a' + static_cast<int>(of));
    key += name.schema;
    key += '\0';
    key += name.name;
    return key;
}

const std::vector<catalogue_facts::row>* catalogue_facts::find(part of, std::size_t host, const sql_name& name) const {
    if (known_.empty()) return nullptr;
    const auto found = known_.find(key_of(of, host, name));
    if (found == known_.end() || now_ - found->second.since >= max_age_) return nullptr;
    return &found->second.rows;
}

void catalogue_facts::learn(part of, std::size_t host, const sql_name& name, std::vector<row> rows) {
    std::string key = key_of(of, host, name);
    std::size_t cost = key.size() + entry_overhead;
    for (const auto& [said, definition] : rows)
        cost += said.size() + (definition ? definition->size() : 0) + row_overhead;
    if (cost > max_bytes_) return;
    if (const auto before = known_.find(key); before != known_.end()) {
        bytes_ -= before->second.cost;
        known_.erase(before);
    }
    // When it is full it begins anew: what is in use comes back with the next question.
    if (bytes_ + cost > max_bytes_) forget();
    known_.emplace(std::move(key), entry{std::move(rows), now_, cost});
    bytes_ += cost;
}

}  // namespace pgsteady
