/* librdkafka's mock Kafka broker as a program: one broker that keeps what it is given in memory.
 *
 * Prints its port, then takes commands on standard input, one a line, and answers each with "ok" or "error REASON":
 *   topic NAME PARTITIONS     makes a topic
 *   fail API-KEY ERROR-CODE   the next request of that kind is answered with that error (of the Kafka protocol)
 * It ends when standard input does. */
#include "rdkafka.h"
#include "rdkafka_mock.h"
#include <stdio.h>
#include <string.h>

static void nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text) {}

int main(void) {
	char problem[256], line[512], name[256];
	int first, second;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, nothing);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
	if (rk == NULL) {
		fprintf(stderr, "%s\n", problem);
		return 1;
	}
	rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
	printf("%s\n", strrchr(rd_kafka_mock_cluster_bootstraps(cluster), ':') + 1);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__INVALID_ARG;
		if (sscanf(line, "topic %255s %d", name, &first) == 2)
			error = rd_kafka_mock_topic_create(cluster, name, first, 1);
		else if (sscanf(line, "fail %d %d", &first, &second) == 2) {
			rd_kafka_mock_push_request_errors(cluster, first, 1, second);
			error = RD_KAFKA_RESP_ERR_NO_ERROR;
		}
		if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
			printf("ok\n");
		else
			printf("error %s\n", rd_kafka_err2str(error));
		fflush(stdout);
	}
	rd_kafka_mock_cluster_destroy(cluster);
	rd_kafka_destroy(rk);
	return 0;
}
