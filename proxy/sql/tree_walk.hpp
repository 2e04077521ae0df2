// Visits every message of a parse tree through protobuf's own descriptors, so that no node type can be forgotten.
// Internal to proxy/sql. Recurses: only for trees that parse_tree has bounded.
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <cstddef>
#include <cstdint>

namespace pgsteady {

/// `message` seen as a Message if it is one, else nullptr; e.g. as<PgQuery__DoStmt>(m, pg_query__do_stmt__descriptor).
template <class Message>
const Message* as(const ProtobufCMessage& message, const ProtobufCMessageDescriptor& descriptor) {
    return message.descriptor == &descriptor ? reinterpret_cast<const Message*>(&message) : nullptr;
}

namespace detail {

template <class T>
const T& member(const ProtobufCMessage& message, unsigned offset) {
    return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(&message) + offset);
}

/// A Node holds exactly one of some 250 kinds: find that field instead of trying them all.
inline const ProtobufCMessage* node_content(const ProtobufCMessage& node) {
    const auto& typed = reinterpret_cast<const PgQuery__Node&>(node);
    const auto kind = static_cast<unsigned>(typed.node_case);
    const ProtobufCFieldDescriptor* field = protobuf_c_message_descriptor_get_field(node.descriptor, kind);
    return field == nullptr ? nullptr : member<const ProtobufCMessage*>(node, field->offset);
}

}  // namespace detail

/// Calls enter(message) for `message` and all below it, parents first, in the order of the grammar's fields.
/// If enter returns false, what is below that message is left out.
template <class Enter>
void walk(const ProtobufCMessage* message, Enter&& enter) {
    using detail::member;
    if (message == nullptr) return;
    if (message->descriptor == &pg_query__node__descriptor) return walk(detail::node_content(*message), enter);
    if (!enter(*message)) return;
    for (unsigned i = 0; i < message->descriptor->n_fields; ++i) {
        const ProtobufCFieldDescriptor& field = message->descriptor->fields[i];
        if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (field.label == PROTOBUF_C_LABEL_REPEATED) {
            const auto count = member<std::size_t>(*message, field.quantifier_offset);
            ProtobufCMessage* const* const items = member<ProtobufCMessage**>(*message, field.offset);
            for (std::size_t k = 0; k < count; ++k) walk(items[k], enter);
        } else if ((field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
                   member<std::uint32_t>(*message, field.quantifier_offset) == field.id) {
            walk(member<const ProtobufCMessage*>(*message, field.offset), enter);
        }
    }
}

}  // namespace pgsteady
