// See statements.hpp.
#include "proxy/session/statements.hpp"

#include "proxy/session/leading_word.hpp"

#include <algorithm>

namespace pgsteady {

statement_ptr statement_store::intern(std::string_view planner_key, std::string_view parse_tail,
                                      const effects_ptr& effects) {
    std::string key;
    key.reserve(planner_key.size() + parse_tail.size() + 1);
    key.append(planner_key).append(1, '\0').append(parse_tail);
    std::weak_ptr<const prepared_statement>& slot = known_[std::move(key)];
    statement_ptr found = slot.lock();
    if (found != nullptr) return found;
    auto made = std::make_shared<prepared_statement>();
    made->server_name = "pgsteady_" + std::to_string(worker_) + '_' + std::to_string(next_++);
    made->parse_tail = parse_tail;
    made->effects = effects;
    made->commits = contains_commit(made->text());
    made->writes = effects == nullptr && writes_by_form(made->text());
    slot = made;
    if (known_.size() >= sweep_at_) {
        std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
        sweep_at_ = std::max<std::size_t>(256, known_.size() * 2);
    }
    return made;
}

void statement_store::retire(const statement_ptr& statement) {
    std::erase_if(known_, [&](const auto& each) { return each.second.lock() == statement; });
}

bool server_statements::touch(const prepared_statement& statement) {
    const auto at = known_.find(&statement);
    if (at == known_.end()) return false;
    at->second.used = ++clock_;
    return true;
}

void server_statements::add(const statement_ptr& statement) {
    const auto [at, added] = known_.try_emplace(statement.get(), entry{statement, 0});
    at->second.used = ++clock_;
    if (added) bytes_ += statement->bytes();
}

void server_statements::remove(const statement_ptr& statement) {
    if (known_.erase(statement.get()) != 0) bytes_ -= statement->bytes();
}

void server_statements::clear() {
    known_.clear();
    bytes_ = 0;
}

std::vector<statement_ptr> server_statements::take_own() {
    std::vector<statement_ptr> own;
    for (const auto& [key, each] : known_)
        if (!each.statement->shared) own.push_back(each.statement);
    for (const statement_ptr& each : own) remove(each);
    return own;
}

std::vector<statement_ptr> server_statements::evict(std::size_t limit) {
    std::vector<statement_ptr> victims;
    if (bytes_ <= limit) return victims;
    std::vector<entry> by_age;
    for (const auto& [key, each] : known_) by_age.push_back(each);
    std::sort(by_age.begin(), by_age.end(), [](const entry& a, const entry& b) { return a.used < b.used; });
    // A little below the limit, so that the sort is not paid for every new statement.
    const std::size_t target = limit - limit / 8;
    for (const entry& each : by_age) {
        if (bytes_ <= target) break;
        remove(each.statement);
        victims.push_back(each.statement);
    }
    return victims;
}

}  // namespace pgsteady
