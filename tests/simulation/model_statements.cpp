// The statements of a modelled backend. See model_backend.hpp.
#include "tests/simulation/model_host.hpp"
#include "tests/support/sql_pieces.hpp"
#include "tests/support/wire_builders.hpp"

#include <algorithm>

namespace pgsteady::simulation {

namespace {

namespace server = testing::server;
using testing::dotted_name;
using testing::select_target;
using testing::syntax_error;
using testing::targets_of;
using kind = sql_statement::token::kind;

constexpr std::string_view commands[] = {
    "begin",  "start", "commit", "end",     "rollback",   "abort",   "savepoint", "release",  "set",   "reset",
    "insert", "copy",  "update", "prepare", "deallocate", "discard", "listen",    "unlisten", "notify"};

/// Whether it reads accounts, and so has FROM.
bool is_account_read(const sql_statement& statement) {
    return statement.is(1, "balance") || (statement.is(1, "sum") && statement.is(3, "balance"));
}

std::string account_row(const std::string& account) { return "account " + account; }

/// The value of a token: itself, or a parameter ($n, its number in the token behind it).
std::string value_at(const sql_statement& statement, std::size_t at, const values& parameters) {
    if (statement.is(at, "$")) return parameters.at(std::stoul(statement.at(at + 1)) - 1).value_or("");
    return statement.at(at);
}

}  // namespace

std::vector<std::string> model_backend::columns_of(const sql_statement& statement) const {
    if (statement.is(0, "select")) {
        if (is_account_read(statement)) return {statement.at(1)};
        std::vector<std::string> columns;
        for (const select_target& each : targets_of(statement))
            columns.push_back(each.function.empty() ? "?column?" : each.function);
        return columns;
    }
    if (statement.is(0, "show")) {
        std::size_t at = 1;
        return {dotted_name(statement, at)};
    }
    if (statement.is(0, "table")) return {"id"};
    if (statement.is(0, "execute")) {
        const auto known = statements_.find(statement.at(1));
        return known != statements_.end() && known->second.statement ? columns_of(*known->second.statement)
                                                                     : std::vector<std::string>();
    }
    if (std::find(std::begin(commands), std::end(commands), statement.at(0)) == std::end(commands))
        syntax_error(statement);
    return {};
}

void model_backend::refuse_if_read_only(const sql_statement& statement) const {
    if (!read_only_) return;
    const std::string& verb = statement.at(0);
    const bool locks = verb == "select" && statement.is(statement.size() - 1, "update");
    const bool writes = verb == "insert" || verb == "update" || (verb == "copy" && statement.is(2, "from")) || locks;
    if (!writes) return;
    std::string name = locks ? "select for update" : verb == "copy" ? "copy from" : verb;
    for (char& c : name)
        if (c != ' ') c = static_cast<char>(c - 'a' + 'A');
    throw sql_error("25006", "cannot execute " + name + " in a read-only transaction");
}

std::optional<model_backend::answer> model_backend::run(const sql_statement& statement, const values& parameters) {
    const std::string& verb = statement.at(0);
    answer result;
    refuse_if_read_only(statement);
    if (verb == "select")
        return is_account_read(statement) ? run_account(statement, parameters) : run_select(statement, parameters);
    if (verb == "set" || verb == "reset") return run_set(statement);
    if (verb == "table") return run_table(statement.at(1));
    if (verb == "insert") return run_insert(statement, parameters);
    if (verb == "update") return run_update(statement, parameters);
    if (verb == "show") {
        result.columns = columns_of(statement);
        const std::string& name = result.columns.front();
        result.rows.push_back({name == "transaction_read_only" ? (read_only_ ? "on" : "off") : settings_.get(name)});
        result.tag = "SHOW";
        return result;
    }
    if (verb == "copy") {
        result.copies_in = statement.is(2, "from");
        result.copies_out = !result.copies_in;
        if (result.copies_out) result.rows = run_table(statement.at(1)).rows;
        result.tag = "COPY " + std::to_string(result.rows.size());
        return result;
    }
    if (verb == "prepare") {
        if (statements_.contains(statement.at(1)))
            throw sql_error("42P05", "prepared statement \"" + statement.at(1) + "\" already exists");
        sql_statement inner = statement;
        inner.tokens.erase(inner.tokens.begin(), inner.tokens.begin() + 3);
        const std::size_t count = inner.parameters();
        statements_[statement.at(1)] = {std::move(inner), count};
        result.tag = "PREPARE";
        return result;
    }
    if (verb == "execute") {
        const auto known = statements_.find(statement.at(1));
        if (known == statements_.end())
            throw sql_error("26000", "prepared statement \"" + statement.at(1) + "\" does not exist");
        return run(sql_statement(*known->second.statement), {});
    }
    if (verb == "deallocate") {
        const std::size_t at = statement.is(1, "prepare") ? 2 : 1;
        result.tag = statement.is(at, "all") ? "DEALLOCATE ALL" : "DEALLOCATE";
        if (statement.is(at, "all")) std::erase_if(statements_, [](const auto& each) { return !each.first.empty(); });
        else if (statements_.erase(statement.at(at)) == 0)
            throw sql_error("26000", "prepared statement \"" + statement.at(at) + "\" does not exist");
        return result;
    }
    if (verb == "listen" || verb == "unlisten") {
        if (verb == "listen") wanted_.insert(statement.at(1));
        else if (statement.is(1, "*")) wanted_.clear();
        else wanted_.erase(statement.at(1));
        result.tag = verb == "listen" ? "LISTEN" : "UNLISTEN";
        return result;
    }
    if (verb == "notify") {  // nobody is told here
        changes_.push_back({change::kind::note, statement.at(statement.size() - 1), 0, 0});
        result.tag = "NOTIFY";
        return result;
    }
    if (verb == "discard") {
        if (state_ == transaction::open) throw sql_error("25001", "DISCARD ALL cannot run inside a transaction block");
        settings_ = startup_;
        begun_->settings = startup_;
        statements_.clear();
        wanted_.clear();
        result.tag = "DISCARD ALL";
        return result;
    }
    return run_transaction(statement);
}

std::optional<model_backend::answer> model_backend::run_insert(const sql_statement& statement,
                                                               const values& parameters) {
    const std::string value = value_at(statement, 5, parameters);
    const bool once = statement.is(2, "once");
    if (!once && !statement.is(2, "log"))
        throw sql_error("42P01", "relation \"" + statement.at(2) + "\" does not exist");
    if (once && !lock("once " + value)) return std::nullopt;
    add({once ? change::kind::once_row : change::kind::log_row, value, 0, 0});
    answer result;
    result.tag = "INSERT 0 1";
    return result;
}

/// UPDATE accounts SET balance = balance + 5 WHERE id = 1
std::optional<model_backend::answer> model_backend::run_update(const sql_statement& statement,
                                                               const values& parameters) {
    if (!statement.is(1, "accounts") || statement.size() < 12) syntax_error(statement);
    const std::size_t amount_at = 7;
    const std::size_t behind = amount_at + (statement.is(amount_at, "$") ? 2U : 1U);
    const std::string account = value_at(statement, behind + 3, parameters);
    const std::int64_t amount = std::stoll(value_at(statement, amount_at, parameters));
    answer result;
    result.tag = "UPDATE 0";
    const std::uint64_t number = std::stoull(account);
    if (number < 1 || number > host_.storage.accounts()) return result;
    if (!lock(account_row(account))) return std::nullopt;
    add({change::kind::balance, {}, static_cast<std::uint32_t>(number), statement.is(6, "-") ? -amount : amount});
    result.tag = "UPDATE 1";
    return result;
}

std::int64_t model_backend::balance_seen(std::uint32_t account) const {
    std::int64_t balance = host_.storage.balance(account);
    for (const change& each : changes_)
        if (each.what == change::kind::balance && each.account == account) balance += each.by;
    return balance;
}

std::optional<model_backend::answer> model_backend::run_account(const sql_statement& statement,
                                                                const values& parameters) {
    answer result;
    result.columns = {statement.at(1)};
    result.tag = "SELECT 1";
    if (statement.is(1, "sum")) {
        std::int64_t total = 0;
        for (std::uint32_t i = 1; i <= host_.storage.accounts(); ++i) total += balance_seen(i);
        result.rows.push_back({std::to_string(total)});
        return result;
    }
    const std::string account = value_at(statement, 7, parameters);
    const std::uint64_t number = std::stoull(account);
    if (statement.is(statement.size() - 1, "update")) {
        if (!lock(account_row(account))) return std::nullopt;
        need_xid();
        (void)host_.storage.write(xid_);
    }
    result.rows.push_back({std::to_string(balance_seen(static_cast<std::uint32_t>(number)))});
    return result;
}

model_backend::answer model_backend::run_set(const sql_statement& statement) {
    answer result;
    std::size_t at = 1;
    const bool reset = statement.is(0, "reset");
    result.tag = reset ? "RESET" : "SET";
    if (reset && statement.is(1, "all")) {
        settings_.reset_all();
        return result;
    }
    const bool local = statement.is(at, "local");
    if (local || statement.is(at, "session")) ++at;
    if (local && state_ == transaction::implicit && alone_)
        out_ += server::notice("25P01", "SET LOCAL can only be used in transaction blocks", "WARNING");
    const std::string name = dotted_name(statement, at);
    if (statement.is(at, "=") || statement.is(at, "to")) ++at;
    if (reset || statement.is(at, "default")) {
        settings_.reset(name);
        return result;
    }
    std::string value;
    for (; at < statement.size(); ++at) value += statement.is(at, ",") ? ", " : statement.at(at);
    settings_.set(name, value, local);
    return result;
}

/// Time passes once per statement.
bool model_backend::sleep_for(micros time) {
    if (!sleeps_until_) sleeps_until_ = host_.now + time;
    if (host_.now < *sleeps_until_) return false;
    sleeps_until_.reset();
    return true;
}

std::optional<model_backend::answer> model_backend::run_select(const sql_statement& statement,
                                                               const values& parameters) {
    answer result;
    const std::vector<select_target> targets = targets_of(statement);
    values row;
    for (const select_target& each : targets) {
        values arguments;
        for (const sql_statement::token& argument : each.arguments) {
            if (argument.what == kind::other && argument.text.starts_with('$'))
                arguments.push_back(parameters.at(std::stoul(argument.text.substr(1)) - 1));
            else if (argument.what == kind::word && argument.text == "null") arguments.emplace_back(std::nullopt);
            else arguments.emplace_back(argument.text);
        }
        result.columns.push_back(each.function.empty() ? "?column?" : each.function);
        if (each.function == "pg_sleep") {
            if (!sleep_for(static_cast<micros>(std::stod(arguments.at(0).value_or("0")) * 1e6))) return std::nullopt;
            row.emplace_back("");
        } else if (!each.function.empty()) {
            row.push_back(call(each.function, arguments, result));
        } else {
            row.push_back(arguments.at(0));
        }
    }
    if (result.rows.empty()) result.rows.push_back(std::move(row));
    result.tag = "SELECT " + std::to_string(result.rows.size());
    return result;
}

std::optional<std::string> model_backend::call(const std::string& name, const values& arguments, answer& into) {
    const std::string first = arguments.empty() ? "" : arguments[0].value_or("");
    if (name == "set_config") {
        if (!arguments.at(1)) settings_.reset(first);
        else settings_.set(first, *arguments[1], arguments.at(2) == "true");
        return settings_.get(first);
    }
    if (name == "current_setting") {
        if (first == "transaction_read_only") return read_only_ ? "on" : "off";
        if (arguments.size() > 1 && arguments[1] == "true") return settings_.find(first);
        return settings_.get(first);
    }
    if (name == "generate_series") {
        for (std::int64_t i = std::stoll(first); i <= std::stoll(arguments.at(1).value_or("0")); ++i)
            into.rows.push_back({std::to_string(i)});
        return std::nullopt;
    }
    if (name == "capture_new_xid") need_xid();
    if (name == "capture_xid" || name == "capture_new_xid" || name == "pg_current_xact_id_if_assigned")
        return xid_ == 0 ? std::nullopt : std::optional(std::to_string(xid_));
    if (name == "capture_marker" && xid_ == 0) return std::nullopt;
    if (name == "capture_marker" || name == "pg_logical_emit_message") {
        need_xid();
        return to_text(host_.storage.write_marker(xid_));
    }
    if (name == "pg_last_wal_replay_lsn") {
        const auto replayed = host_.storage.replayed();
        return replayed ? std::optional(to_text(*replayed)) : std::nullopt;
    }
    if (name == "pg_xact_status" || name == "txid_status") return xact_status_of(first);
    throw sql_error("42883", "function " + name + " does not exist");
}

std::string model_backend::xact_status_of(const std::string& number) const {
    switch (host_.storage.status(std::stoull(number))) {
        case xact_status::in_progress: return "in progress";
        case xact_status::committed: return "committed";
        case xact_status::aborted: return "aborted";
        case xact_status::in_future: break;
    }
    throw sql_error("22023", "transaction ID " + number + " is in the future");
}

model_backend::answer model_backend::run_table(const std::string& name) const {
    answer result;
    result.columns = {"id"};
    const bool once = name == "once";
    if (!once && name != "log") throw sql_error("42P01", "relation \"" + name + "\" does not exist");
    for (const std::string& each : once ? host_.storage.once() : host_.storage.log()) result.rows.push_back({each});
    for (const change& each : changes_)
        if (each.what == (once ? change::kind::once_row : change::kind::log_row)) result.rows.push_back({each.text});
    result.tag = "SELECT " + std::to_string(result.rows.size());
    return result;
}

}  // namespace pgsteady::simulation
