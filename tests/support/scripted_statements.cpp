// The statements of the scripted server. See scripted_server.hpp.
#include "tests/support/scripted_server.hpp"
#include "tests/support/sql_pieces.hpp"
#include "tests/support/wire_builders.hpp"

#include <algorithm>

namespace pgsteady::testing {

namespace {

using kind = sql_statement::token::kind;

constexpr std::string_view commands[] = {
    "begin",  "start", "commit", "end",  "rollback", "abort",      "savepoint", "release", "set",     "reset",
    "insert", "copy",  "create", "drop", "prepare",  "deallocate", "discard",   "listen",  "unlisten"};

}  // namespace

/// Names of the columns that a statement returns; a text that is no statement is a syntax error.
std::vector<std::string> scripted_server::columns_of(const sql_statement& statement) const {
    if (statement.is(0, "select")) {
        std::vector<std::string> columns;
        for (const select_target& each : targets_of(statement))
            columns.push_back(each.function.empty() ? "?column?" : each.function);
        return columns;
    }
    if (statement.is(0, "show")) {
        std::size_t at = 1;
        return {dotted_name(statement, at)};
    }
    if (statement.is(0, "table")) return {"line"};
    if (statement.is(0, "execute")) {
        const auto known = statements_.find(statement.at(1));
        return known != statements_.end() && known->second.statement ? columns_of(*known->second.statement)
                                                                     : std::vector<std::string>();
    }
    if (std::find(std::begin(commands), std::end(commands), statement.at(0)) == std::end(commands))
        syntax_error(statement);
    return {};
}

void scripted_server::refuse_if_read_only(const sql_statement& statement) const {
    if (!read_only_) return;
    std::string verb = statement.at(0);
    const bool writes = verb == "insert" || verb == "drop" || (verb == "create" && !statement.is(1, "temp")) ||
                        (verb == "copy" && statement.is(2, "from"));
    if (!writes) return;
    for (char& c : verb) c = static_cast<char>(c - 'a' + 'A');
    throw sql_error("25006", "cannot execute " + verb + " in a read-only transaction");
}

scripted_server::answer scripted_server::run(const sql_statement& statement, const values& parameters) {
    const std::string& verb = statement.at(0);
    answer result;
    ++database_.executions[statement.text];
    refuse_if_read_only(statement);
    if (verb == "select") return run_select(statement, parameters);
    if (verb == "set" || verb == "reset") return run_set(statement);
    if (verb == "table") return run_table(statement.at(1));
    if (verb == "show") {
        result.columns = columns_of(statement);
        const std::string& name = result.columns.front();
        result.rows.push_back({name == "transaction_read_only" ? (read_only_ ? "on" : "off") : settings_.get(name)});
        result.tag = "SHOW";
        return result;
    }
    if (verb == "insert") {
        const sql_statement::token& value =
            statement.tokens.back().text == ")" ? statement.tokens.at(statement.size() - 2) : statement.tokens.back();
        const bool parameter = statement.is(statement.size() - 3, "$");
        add_row(parameter ? parameters.at(std::stoul(value.text) - 1).value_or("") : value.text);
        result.tag = "INSERT 0 1";
        return result;
    }
    if (verb == "copy") {
        result.copies_in = statement.is(2, "from");
        result.copies_out = !result.copies_in;
        if (result.copies_out) result.rows = run_table(statement.at(1)).rows;
        result.tag = "COPY " + std::to_string(result.rows.size());
        return result;
    }
    if (verb == "create" || verb == "drop") {
        const bool temporary = statement.is(1, "temp");
        const std::string& name = statement.tokens.back().text;
        if (temporary) temporary_.insert(name);
        else if (verb == "create") database_.tables.insert(name);
        else database_.tables.erase(name), temporary_.erase(name);
        result.tag = verb == "create" ? "CREATE TABLE" : "DROP TABLE";
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
        const prepared inner = known->second;
        return run(*inner.statement, {});
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
    if (verb == "discard") {
        if (state_ == transaction::open) throw sql_error("25001", "DISCARD ALL cannot run inside a transaction block");
        settings_ = startup_;
        begun_->settings = startup_;
        statements_.clear();
        temporary_.clear();
        wanted_.clear();
        result.tag = "DISCARD ALL";
        return result;
    }
    return run_transaction(statement);
}

scripted_server::answer scripted_server::run_transaction(const sql_statement& statement) {
    const std::string& verb = statement.at(0);
    const bool chain = statement.is(statement.size() - 1, "chain") && !statement.is(statement.size() - 2, "no");
    answer result;
    if (verb == "begin" || verb == "start") {
        if (state_ == transaction::open)
            out_ += server::notice("25001", "there is already a transaction in progress", "WARNING");
        state_ = transaction::open;
        if (statement.is(statement.size() - 2, "read")) read_only_ = statement.is(statement.size() - 1, "only");
        result.tag = verb == "begin" ? "BEGIN" : "START TRANSACTION";
        return result;
    }
    if (verb == "rollback" || verb == "abort") return run_rollback(statement);
    if (verb == "commit" || verb == "end") {
        const bool failed = state_ == transaction::failed;
        const bool block = state_ != transaction::implicit;
        if (!block && chain) throw sql_error("25P01", "COMMIT AND CHAIN can only be used in transaction blocks");
        if (!block) out_ += server::notice("25P01", "there is no transaction in progress", "WARNING");
        failed ? roll_back() : commit();
        result.tag = failed ? "ROLLBACK" : "COMMIT";
        if (chain) begin_command({}), state_ = transaction::open;
        return result;
    }
    if (state_ == transaction::implicit) {
        std::string name = verb;
        for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
        throw sql_error("25P01",
                        name + (verb == "release" ? " SAVEPOINT" : "") + " can only be used in transaction blocks");
    }
    const std::string& name = statement.at(verb == "release" && statement.is(1, "savepoint") ? 2 : 1);
    if (verb == "savepoint") {
        savepoints_.push_back({name, settings_, pending_.size(), wanted_, temporary_});
        result.tag = "SAVEPOINT";
        return result;
    }
    while (!savepoints_.empty() && savepoints_.back().name != name) savepoints_.pop_back();
    if (savepoints_.empty()) throw sql_error("3B001", "savepoint \"" + name + "\" does not exist");
    savepoints_.pop_back();
    result.tag = "RELEASE";
    return result;
}

scripted_server::answer scripted_server::run_rollback(const sql_statement& statement) {
    answer result;
    result.tag = "ROLLBACK";
    const bool chain = statement.is(statement.size() - 1, "chain") && !statement.is(statement.size() - 2, "no");
    if (!statement.is(1, "to")) {
        const bool block = state_ != transaction::implicit;
        if (!block && chain) throw sql_error("25P01", "ROLLBACK AND CHAIN can only be used in transaction blocks");
        if (!block) out_ += server::notice("25P01", "there is no transaction in progress", "WARNING");
        roll_back();
        if (chain) begin_command({}), state_ = transaction::open;
        return result;
    }
    if (state_ == transaction::implicit)
        throw sql_error("25P01", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks");
    const std::string& name = statement.at(statement.is(2, "savepoint") ? 3 : 2);
    const auto is_it = [&](const snapshot& each) { return each.name == name; };
    if (std::none_of(savepoints_.begin(), savepoints_.end(), is_it))
        throw sql_error("3B001", "savepoint \"" + name + "\" does not exist");
    while (!is_it(savepoints_.back())) savepoints_.pop_back();
    settings_ = savepoints_.back().settings;
    pending_.resize(savepoints_.back().pending);
    wanted_ = savepoints_.back().wanted;
    temporary_ = savepoints_.back().temporary;
    state_ = transaction::open;
    return result;
}

scripted_server::answer scripted_server::run_set(const sql_statement& statement) {
    answer result;
    std::size_t at = 1;
    const bool reset = statement.is(0, "reset");
    result.tag = reset ? "RESET" : "SET";
    if (reset && statement.is(1, "all")) {
        settings_.reset_all();
        return result;
    }
    const bool local = statement.is(at, "local");
    const bool authorization = statement.is(at, "session") && statement.is(at + 1, "authorization");
    if (local || (statement.is(at, "session") && !authorization)) ++at;
    std::string name;
    if (authorization) {
        name = "session_authorization";
        at += 2;
    } else if (statement.is(at, "time") && statement.is(at + 1, "zone")) {
        name = "timezone";
        at += 2;
    } else {
        name = dotted_name(statement, at);
    }
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

scripted_server::answer scripted_server::run_select(const sql_statement& statement, const values& parameters) {
    answer result;
    result.columns = columns_of(statement);
    values row;
    for (const select_target& each : targets_of(statement)) {
        values arguments;
        for (const sql_statement::token& argument : each.arguments) {
            if (argument.what == kind::other)
                arguments.push_back(parameters.at(std::stoul(argument.text.substr(1)) - 1));
            else if (argument.what == kind::word && argument.text == "null") arguments.emplace_back(std::nullopt);
            else arguments.emplace_back(argument.text);
        }
        if (!each.function.empty()) row.push_back(call(each.function, arguments, result));
        else if (each.arguments[0].what == kind::word && arguments[0] == "current_user") {
            const std::string role = settings_.get("role");
            row.emplace_back(role == "none" ? settings_.get("session_authorization") : role);
        } else {
            row.push_back(arguments[0]);
        }
    }
    if (result.rows.empty()) result.rows.push_back(std::move(row));
    result.tag = "SELECT " + std::to_string(result.rows.size());
    return result;
}

std::optional<std::string> scripted_server::call(const std::string& name, const values& arguments, answer& into) {
    const std::string first = arguments.empty() ? "" : arguments[0].value_or("");
    if (name == "set_config") {
        const bool local = arguments.at(2) == "true";
        if (!arguments[1]) settings_.reset(first);
        else settings_.set(first, *arguments[1], local);
        return settings_.get(first);
    }
    if (name == "current_setting") {
        if (first == "transaction_read_only") return read_only_ ? "on" : "off";
        if (arguments.size() > 1 && arguments[1] == "true") return settings_.find(first);
        return settings_.get(first);
    }
    if (name == "capture_xid" || name == "capture_new_xid") return capture(false, name == "capture_new_xid");
    if (name == "capture_marker") return capture(true, false);
    if (name == "txid_status") {
        const auto known = database_.transactions.find(std::stoull(first));
        if (known == database_.transactions.end())
            throw sql_error("22023", "transaction ID " + first + " is in the future");
        return known->second;
    }
    if (name == "rows") {
        for (std::size_t i = 1; i <= std::stoul(first); ++i) into.rows.push_back({"row " + std::to_string(i)});
        return std::nullopt;
    }
    if (name == "big") return std::string(std::stoul(first), 'x');
    if (name == "notice") {
        out_ += server::notice("00000", first);
        return "";
    }
    if (name == "count") {  // what comes by the way is never the same twice
        out_ += server::notice("00000", std::to_string(++database_.notices));
        return "";
    }
    if (name == "error") throw sql_error(first, "error " + first + " as asked for");
    if (name == "fatal") throw sql_error(first, "terminating connection as asked for", "FATAL");
    if (name == "pg_advisory_lock" || name == "upper") return first;
    throw sql_error("42883", "function " + name + " does not exist");
}

scripted_server::answer scripted_server::run_table(const std::string& name) const {
    answer result;
    result.columns = {"line"};
    if (name == "log") {
        for (const std::string& each : database_.log) result.rows.push_back({each});
        for (const std::string& each : pending_) result.rows.push_back({each});
    } else if (!temporary_.contains(name) && !database_.tables.contains(name)) {
        throw sql_error("42P01", "relation \"" + name + "\" does not exist");
    }
    result.tag = "SELECT " + std::to_string(result.rows.size());
    return result;
}

}  // namespace pgsteady::testing
