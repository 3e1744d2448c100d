/*
 * The ceiling: receipts into PostgreSQL by a bare UPDATE a batch.
 *
 * No ranks, no links, no parking, no details of the receipt: the status of the CDR is all that it
 * writes, and it does not notice a receipt without a CDR. It reads as much JSON as the two strings
 * take that it wants, and rejects a message whose strings have escapes. Errors end it.
 *
 * Compiled by compiled.py, which says what it needs.
 */
#define _POSIX_C_SOURCE 200809L

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { CHANNEL = 1, FRAME_BYTES = 131072 };
static const int64_t FLUSH_US = 100000;
static const char UPDATE[] =
    "UPDATE sms_cdr c SET status = dlr.status "
    "FROM unnest($1::text[], $2::text[]) AS dlr (message_id, status) "
    "WHERE c.message_id = dlr.message_id";

static volatile sig_atomic_t stopping;

static void on_term(int signum)
{
    (void)signum;
    stopping = 1;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "consumer: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct slice {
    const char *start;
    size_t length;
};
struct json {
    const char *at, *end;
};
struct column {
    char *text;
    size_t length, capacity;
};
struct batch {
    struct column message_ids, statuses; /* as literals of arrays */
    int size;
    uint64_t last_tag;
    int64_t due_us;
};

static bool is(struct slice text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.start, word, text.length) == 0;
}

static bool next_is(struct json *json, char wanted)
{
    while (json->at < json->end && strchr(" \t\r\n", *json->at) && *json->at)
        json->at++;
    if (json->at == json->end || *json->at != wanted)
        return false;
    json->at++;
    return true;
}

/* Pass over a string; what is between its quotes, as it stands. */
static bool read_string(struct json *json, struct slice *text)
{
    if (!next_is(json, '"'))
        return false;
    text->start = json->at;
    for (; json->at < json->end; json->at++) {
        if (*json->at == '\\')
            json->at++;
        else if (*json->at == '"') {
            text->length = (size_t)(json->at++ - text->start);
            return true;
        } else if ((unsigned char)*json->at < 0x20)
            return false;
    }
    return false;
}

/* Pass over a value of any kind, with all that is in it. */
static bool skip_value(struct json *json)
{
    struct slice ignored;
    int depth = 0;
    while (json->at < json->end) {
        char c = *json->at;
        if (c == '"') {
            if (!read_string(json, &ignored))
                return false;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        json->at++;
    }
    return false;
}

static bool is_plain(struct slice text)
{
    return text.length > 0 && memchr(text.start, '\\', text.length) == NULL;
}

/* Find the two strings of a receipt; false for what is none. */
static bool read_receipt(amqp_bytes_t body, struct slice *message_id, struct slice *status)
{
    struct json json = {body.bytes, (const char *)body.bytes + body.len};
    struct slice key;
    *message_id = *status = (struct slice){NULL, 0};
    if (!next_is(&json, '{'))
        return false;
    do {
        if (!read_string(&json, &key) || !next_is(&json, ':'))
            return false;
        bool good = is(key, "message_id") ? read_string(&json, message_id)
                    : is(key, "status")   ? read_string(&json, status)
                                          : skip_value(&json);
        if (!good)
            return false;
    } while (next_is(&json, ','));
    return next_is(&json, '}') && is_plain(*message_id) && is_plain(*status);
}

static struct slice cdr_status(struct slice status)
{
    static const char *const MEANINGS[][2] = {
        {"DELIVRD", "delivered"}, {"EXPIRED", "expired"},   {"DELETED", "failed"},
        {"UNDELIV", "failed"},    {"ACCEPTD", "pending"},   {"UNKNOWN", "failed"},
        {"REJECTD", "rejected"},  {"ESME_ROK", "submitted"}};
    bool is_error = status.length > 5 && memcmp(status.start, "ESME_", 5) == 0;
    const char *meaning = is_error ? "failed" : "pending";
    for (size_t i = 0; i < sizeof MEANINGS / sizeof *MEANINGS; i++)
        if (is(status, MEANINGS[i][0]))
            meaning = MEANINGS[i][1];
    return (struct slice){meaning, strlen(meaning)};
}

static void append(struct column *column, struct slice value)
{
    size_t needed = column->length + value.length + sizeof "{\"\",}";
    if (needed > column->capacity) {
        column->capacity = 2 * needed;
        column->text = realloc(column->text, column->capacity);
        if (column->text == NULL)
            die("memory", "exhausted");
    }
    char *end = column->text + column->length;
    *end++ = column->length == 0 ? '{' : ',';
    *end++ = '"';
    memcpy(end, value.start, value.length);
    end[value.length] = '"';
    column->length += value.length + 3;
}

static const char *literal(struct column *column)
{
    memcpy(column->text + column->length, "}", sizeof "}");
    column->length = 0;
    return column->text;
}

static void tell(int size)
{
    char text[sizeof "2026-11-24T06:30:00"];
    int64_t now = now_us();
    time_t seconds = (time_t)(now / 1000000);
    struct tm parts;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &parts));
    fprintf(stderr, "{\"event\":\"batch\",\"size\":%d,\"timestamp\":\"%s.%06dZ\"}\n", size, text,
            (int)(now % 1000000));
}

/* Commit, and only then acknowledge. */
static void flush(struct batch *batch, PGconn *database, amqp_connection_state_t broker)
{
    const char *values[] = {literal(&batch->message_ids), literal(&batch->statuses)};
    PGresult *result = PQexecPrepared(database, "update", 2, values, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die("update", PQerrorMessage(database));
    PQclear(result);
    int status = amqp_basic_ack(broker, CHANNEL, batch->last_tag, true);
    if (status != AMQP_STATUS_OK)
        die("ack", amqp_error_string2(status));
    tell(batch->size);
    batch->size = 0;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        die(name, "is not set");
    return value;
}

static void check(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        die(what, amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        die(what, "refused by RabbitMQ");
}

static PGconn *open_database(void)
{
    PGconn *database = PQconnectdb(variable("PEER_DATABASE_URL"));
    if (PQstatus(database) != CONNECTION_OK)
        die("database", PQerrorMessage(database));
    PGresult *result = PQprepare(database, "update", UPDATE, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die("prepare", PQerrorMessage(database));
    PQclear(result);
    return database;
}

static amqp_connection_state_t open_broker(void)
{
    static char url[1024]; /* which is taken to pieces */
    struct amqp_connection_info at;
    snprintf(url, sizeof url, "%s", variable("PEER_AMQP_URL"));
    if (amqp_parse_url(url, &at) != AMQP_STATUS_OK)
        die("PEER_AMQP_URL", "is not an AMQP URL");
    amqp_connection_state_t broker = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(broker);
    int status = amqp_socket_open(socket, at.host, at.port);
    if (status != AMQP_STATUS_OK)
        die("broker", amqp_error_string2(status));
    check(amqp_login(broker, at.vhost, 0, FRAME_BYTES, 0, AMQP_SASL_METHOD_PLAIN, at.user,
                     at.password), "login");
    amqp_channel_open(broker, CHANNEL);
    check(amqp_get_rpc_reply(broker), "channel");
    amqp_basic_qos(broker, CHANNEL, 0, (uint16_t)atoi(variable("PEER_PREFETCH")), false);
    check(amqp_get_rpc_reply(broker), "qos");
    amqp_basic_consume(broker, CHANNEL, amqp_cstring_bytes(variable("PEER_QUEUE")),
                       amqp_empty_bytes, false, false, false, amqp_empty_table);
    check(amqp_get_rpc_reply(broker), "consume");
    return broker;
}

/* Take one message within the time that the batch has left. False when none came. */
static bool receive(amqp_connection_state_t broker, struct batch *batch)
{
    int64_t left = batch->size ? batch->due_us - now_us() : FLUSH_US;
    struct timeval timeout = {0, left > 0 ? left : 0};
    amqp_envelope_t envelope;
    struct slice message_id, status;
    amqp_maybe_release_buffers(broker);
    amqp_rpc_reply_t reply = amqp_consume_message(broker, &envelope, &timeout, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
        reply.library_error == AMQP_STATUS_TIMEOUT)
        return false;
    check(reply, "receive");
    if (read_receipt(envelope.message.body, &message_id, &status)) {
        append(&batch->message_ids, message_id);
        append(&batch->statuses, cdr_status(status));
        batch->last_tag = envelope.delivery_tag;
        if (batch->size++ == 0)
            batch->due_us = now_us() + FLUSH_US;
    } else
        amqp_basic_reject(broker, CHANNEL, envelope.delivery_tag, false);
    amqp_destroy_envelope(&envelope);
    return true;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_term};
    struct batch batch = {0};
    sigaction(SIGTERM, &action, NULL);
    int batch_size = atoi(variable("PEER_BATCH_SIZE"));
    PGconn *database = open_database();
    amqp_connection_state_t broker = open_broker();
    while (!stopping) {
        bool came = receive(broker, &batch);
        if (batch.size == batch_size || (batch.size > 0 && !came))
            flush(&batch, database, broker);
    }
    amqp_connection_close(broker, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(broker);
    PQfinish(database);
    return EXIT_SUCCESS;
}
