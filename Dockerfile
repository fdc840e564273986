# The gateway as an image: compiled, with production dependencies only, as a user without rights. docs/production.md says how to run it.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY bin bin
COPY policies policies
USER node
EXPOSE 6432
# SIGTERM ends sessions in order, SIGHUP reads configuration and policy again; node is process 1 and gets both.
ENTRYPOINT ["node", "/app/bin/portcullis.js"]
CMD ["serve", "--config", "/etc/portcullis/portcullis.yaml"]
