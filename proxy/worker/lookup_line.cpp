// See lookup_line.hpp.
#include "proxy/worker/lookup_line.hpp"

#include "protocol/md5_auth.hpp"
#include "protocol/sqlstate.hpp"

#include "config/resolve.hpp"
#include "config/value.hpp"

#include "proxy/pool/routing.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/proxy_state.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto first_pause = 25ms;
constexpr auto longest_pause = 250ms;
constexpr auto rests_for = 30s;           // an unused connection
constexpr std::size_t most_text = 1'000;  // a longer one may have been cut
constexpr int plain_iterations = 4'096;   // PostgreSQL's own, for passwords that a table has in clear

/// P4: what the server looks names up by is ours, whatever defaults its roles and databases have.
std::string preparation(std::chrono::milliseconds timeout) {
    return "SET search_path = pg_catalog, pg_temp; SET application_name = 'pgsteady auth_query'; SET statement_timeout "
           "= " +
           std::to_string(timeout.count());
}

/// The server, or the way to it, may be all right in a moment.
bool may_pass(const error_fields& why) {
    return sqlstate::is_class(why.sqlstate, "08") || sqlstate::is_class(why.sqlstate, "53") ||
           sqlstate::is_class(why.sqlstate, "57");
}

}  // namespace

lookup_line::lookup_line(credential_lookup& owner, proxy_state& state, lookup_place where)
    : owner_(owner),
      state_(state),
      database_(std::move(where.database)),
      hosts_(std::move(where.hosts)),
      cluster_(state.cluster_for(hosts_)) {}

lookup_line::~lookup_line() {
    state_.helper.loop().cancel_timer(retry_);
    state_.helper.loop().cancel_timer(rest_);
}

void lookup_line::ask(const std::string& key, const std::string& user, credential_lookup::callback done) {
    if (auto known = owner_.remembered(key)) return done({std::move(known), true});
    const config::settings& all = state_.settings();
    if (all.auth.query.max_names != 0 && waiting_ >= all.auth.query.max_names) {
        ++owner_.failed_;
        return done({nullptr, false, "auth.query.max_names sign-ins are waiting for a server to ask"});
    }
    const auto patience = all.pool.hold_timeout;
    const net::time_point until = patience.count() == 0 ? net::time_point::max() : net::clock::now() + patience;
    question& of = questions_[key];
    if (of.waiters.empty()) {
        of.user = user;
        queue_.push_back(key);
    }
    of.waiters.push_back({std::move(done), until});
    ++waiting_;
    go_on();
}

void lookup_line::go_on() {
    if (!asking_.empty() || queue_.empty() || pausing_) return;
    net::event_loop& loop = state_.helper.loop();
    loop.cancel_timer(rest_);
    const auto where = host_to_ask();
    if (!where) return nobody_answers("no server is known to answer");
    asking_ = queue_.front();
    queue_.pop_front();
    const std::string& user = questions_.at(asking_).user;
    const bool good =
        connection_ != nullptr && connection_->reusable() && host_ == *where && under_ == state_.settings_to_keep();
    if (good) connection_->ask_again(user);
    else dial(*where);
}

/// The primary, else a standby: roles are the same there. While roles are not known, any host in turn.
std::optional<std::size_t> lookup_line::host_to_ask() const {
    const cluster::view_ptr view = cluster_->view();
    if (!view->informed) return preferred_ % hosts_.size();
    return view->primary ? view->primary : standby_for(*view, 0);
}

void lookup_line::dial(std::size_t host) {
    host_ = host;
    under_ = state_.settings_to_keep();
    const config::auth_query_settings query = config::auth_query_of(*under_, database_);
    server_question::settings what;
    what.host = hosts_[host];
    what.who = {query.user, query.database, query.password};
    if (what.who.database.empty()) what.who.database = under_->backends.database;
    if (what.who.database.empty()) what.who.database = "postgres";
    what.query = query.sql;
    what.patience = query.timeout;
    what.preparation = preparation(query.timeout);
    what.parameter = questions_.at(asking_).user;
    what.stays = true;
    // At the end of the turn: it is on the call stack.
    what.ended = [this] { state_.helper.loop().defer([this] { on_ended(); }); };
    connection_ =
        std::make_unique<server_question>(state_.helper.loop(), *under_, state_.server_tls.get(), std::move(what));
    connection_->begin();
}

void lookup_line::on_ended() {
    if (asking_.empty() || !connection_->over()) return;
    const std::string key = std::exchange(asking_, {});
    const std::string user = questions_.at(key).user;
    const std::optional<error_fields> problem = connection_->problem();
    if (!problem || sqlstate::is_class(problem->sqlstate, "22")) {  // 22: no role can have such a name
        failures_ = 0;
        take_answer(key, user);
    } else if (may_pass(*problem)) {
        const bool first_try = !connection_->reused();  // one that has rested may have died long ago
        connection_.reset();
        queue_.push_front(key);
        if (first_try) return nobody_answers(problem->message);
    } else {
        connection_.reset();
        log::error("auth.query: {} does not answer as {}: {} {}", config::format_host(hosts_[host_]),
                   config::auth_query_of(*under_, database_).user, problem->sqlstate, problem->message);
        answer(key, {nullptr, false, problem->message});
    }
    go_on();
    if (asking_.empty())
        rest_ = state_.helper.loop().add_timer(net::clock::now() + rests_for, [this] {
            if (asking_.empty()) connection_.reset();
        });
}

void lookup_line::take_answer(const std::string& key, const std::string& user) {
    std::string problem;
    role_cache::secret_ptr secret = read_secret(key, user, problem);
    if (!problem.empty()) log::warning("auth.query: {}", problem);
    owner_.remember(key, secret);
    answer(key, {std::move(secret)});
}

/// What the row says; what is no usable answer counts as no such role, and `problem` is for the log.
role_cache::secret_ptr lookup_line::read_secret(const std::string& key, const std::string& user,
                                                std::string& problem) const {
    auto made = std::make_shared<role_secret>();
    const auto& row = connection_->row();
    if (connection_->problem() || connection_->rows() == 0) return made;
    if (connection_->rows() > 1 || row.size() < 2) {
        problem = "auth.query.sql must return at most one row, with the name and the password of the role";
        return made;
    }
    if (row[0] != user) {  // P6: what another role has is nothing to this one
        problem = "auth.query.sql has answered with another role than the one it was asked for";
        return made;
    }
    if (!row[1] || row[1]->empty()) return made;
    if (row[1]->size() >= most_text) {
        problem = "the password of a role is too long to be one";
        return made;
    }
    made->text = *row[1];
    made->known = true;
    if (is_md5_password_hash(made->text)) return made;
    if (const auto before = owner_.known_last(key); before != nullptr && before->known && before->text == made->text)
        return before;  // its verifier is there
    made->verifier = made->text.starts_with("SCRAM-SHA-256$")
                         ? parse_scram_verifier(made->text)
                         : make_scram_verifier(made->text, random_bytes(16), plain_iterations);
    return made;
}

void lookup_line::answer(const std::string& key, const role_answer& with) {
    const auto at = questions_.find(key);
    if (at == questions_.end()) return;
    const std::vector<waiter> waiters = std::move(at->second.waiters);
    questions_.erase(at);
    waiting_ -= waiters.size();
    if (with.secret == nullptr) owner_.failed_ += waiters.size();
    for (const waiter& each : waiters) each.done(with);
}

/// Whoever is known from before is answered from that, whoever has waited for long enough is told so; the others wait.
void lookup_line::nobody_answers(const std::string& problem) {
    if (failures_++ < 3) log::warning("auth.query: {}; trying again", problem);
    ++preferred_;
    const net::time_point now = net::clock::now();
    std::vector<std::string> keys;
    for (const auto& [key, of] : questions_) keys.push_back(key);
    for (const std::string& key : keys) {
        question& of = questions_.at(key);
        if (auto last = owner_.known_last(key)) {
            owner_.kept_ += of.waiters.size();
            answer(key, {std::move(last), true});
            continue;
        }
        const auto late = std::stable_partition(of.waiters.begin(), of.waiters.end(),
                                                [now](const waiter& each) { return each.until > now; });
        const std::vector<waiter> given_up(late, of.waiters.end());
        of.waiters.erase(late, of.waiters.end());
        waiting_ -= given_up.size();
        owner_.failed_ += given_up.size();
        if (of.waiters.empty()) questions_.erase(key);
        for (const waiter& each : given_up) each.done({nullptr, false, problem});
    }
    std::erase_if(queue_, [this](const std::string& key) { return !questions_.contains(key); });
    if (queue_.empty()) return;
    pausing_ = true;
    const auto pause = std::min<net::clock::duration>(longest_pause, first_pause * (1U << std::min(failures_, 5U)));
    retry_ = state_.helper.loop().add_timer(now + pause, [this] {
        pausing_ = false;
        go_on();
    });
}

}  // namespace pgsteady
