// See table.hpp.
#include "proxy/console/table.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "admin/printable.hpp"

namespace pgsteady {
namespace {

constexpr std::size_t cell_bytes_max = 1024;

std::int16_t length_of(console_type type) {
    switch (type) {
        case console_type::int4: return 4;
        case console_type::int8: return 8;
        case console_type::text:
        case console_type::numeric: break;
    }
    return -1;
}

void append_description(std::string& out, const std::vector<console_column>& columns) {
    const frame_builder frame(out, backend_message::row_description);
    put_i16(out, static_cast<std::int16_t>(columns.size()));
    for (const console_column& each : columns) {
        put_cstring(out, each.name);
        put_i32(out, 0);  // of no relation
        put_i16(out, 0);
        put_u32(out, static_cast<std::uint32_t>(each.type));
        put_i16(out, length_of(each.type));
        put_i32(out, -1);
        put_i16(out, 0);  // as text
    }
}

void append_row(std::string& out, const console_row& row, std::size_t width) {
    const frame_builder frame(out, backend_message::data_row);
    put_i16(out, static_cast<std::int16_t>(width));
    for (std::size_t i = 0; i < width; ++i) {
        if (i >= row.cells().size() || !row.cells()[i]) {
            put_i32(out, -1);
            continue;
        }
        put_i32(out, static_cast<std::int32_t>(row.cells()[i]->size()));
        out += *row.cells()[i];
    }
}

}  // namespace

console_row& console_row::add(std::string_view text) {
    cells_.emplace_back(admin::printable(text, cell_bytes_max));
    return *this;
}

error_fields console_notice(std::string message, std::string detail) {
    error_fields made;
    made.severity = "NOTICE";
    made.sqlstate = sqlstate::successful_completion;
    made.message = std::move(message);
    made.detail = std::move(detail);
    return made;
}

void append_answer(std::string& out, const console_answer& answer) {
    for (const error_fields& each : answer.notices) append_notice_response(out, each);
    if (answer.error) return append_error_response(out, *answer.error);
    if (answer.table) {
        append_description(out, answer.table->columns);
        for (const console_row& each : answer.table->rows) append_row(out, each, answer.table->columns.size());
    }
    const frame_builder frame(out, backend_message::command_complete);
    put_cstring(out, answer.tag);
}

}  // namespace pgsteady
