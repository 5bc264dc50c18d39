// Anthropic's JavaScript SDK and LangChain's ChatAnthropic against a server; prints what they saw, as one line of JSON.

import Anthropic from "@anthropic-ai/sdk";
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";

const [url] = process.argv.slice(2);
const client = new Anthropic({ baseURL: url, apiKey: "none" });
const TOOL = { name: "weather", description: "The weather", input_schema: { type: "object" } };

const ask = (word, fields) => ({
  model: "gpt-4o-mini",
  max_tokens: 99,
  messages: [{ role: "user", content: `${word} node` }],
  ...fields,
});
const failure = (thrown) => ({ error: thrown.constructor.name, status: thrown.status, kind: thrown.error?.error?.type });

async function iterated(word) {
  const told = { text: "", finish: null };
  try {
    const { data, response } = await client.messages.create(ask(word, { stream: true })).withResponse();
    const [id, at] = [response.headers.get("request-id"), response.headers.get("location")];
    told.cache = response.headers.get("cache-status").replace(/; ttl.*/, "");
    for await (const event of data) {
      if (event.type === "message_start") told.same = event.message.id === id && at.endsWith(id);
      if (event.delta?.type === "text_delta") told.text += event.delta.text;
      told.finish = event.delta?.stop_reason ?? told.finish;
      if (told.text && word === "silent") await fetch(`${url}${at}/stop`, { method: "POST" });
      if (told.text && word === "endless") break;
    }
  } catch (thrown) {
    Object.assign(told, failure(thrown));
  }
  return told;
}

async function helped(word, fields) {
  try {
    const stream = client.messages.stream(ask(word, fields));
    let seen = "";
    stream.on("text", (text) => (seen += text));
    const message = await stream.finalMessage();
    return { text: seen, kinds: message.content.map((block) => block.type), usage: message.usage.input_tokens };
  } catch (thrown) {
    return failure(thrown);
  }
}

async function aborted() {
  const stream = client.messages.stream(ask("endless aborted"));
  stream.on("text", () => stream.abort());
  return await stream.finalMessage().catch((thrown) => thrown.constructor.name);
}

async function tools() {
  const asked = ask("tools", { tools: [TOOL] });
  const live = await client.messages.stream(asked).finalMessage();
  const content = live.content
    .filter((block) => block.type === "tool_use")
    .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "Sunny" }));
  const messages = [...asked.messages, { role: "assistant", content: live.content }, { role: "user", content }];
  const answer = await client.messages.create({ ...asked, messages });
  return { inputs: live.content.slice(1).map((block) => block.input), text: answer.content[0].text };
}

const model = (fields) =>
  new ChatAnthropic({ model: "openai:gpt-4o-mini", apiKey: "none", anthropicApiUrl: url, maxTokens: 99, ...fields });

async function langchain(word) {
  const told = { text: "" };
  try {
    let whole;
    for await (const chunk of await model().stream(`${word} langchain`)) {
      told.text += chunk.text;
      whole = whole?.concat(chunk) ?? chunk;
    }
    told.finish = whole.response_metadata.stop_reason ?? whole.additional_kwargs.stop_reason;
    told.usage = whole.usage_metadata?.total_tokens;
  } catch (thrown) {
    told.error = thrown.constructor.name;
  }
  return told;
}

async function langchainTools() {
  const able = model().bindTools([TOOL]);
  const asked = new HumanMessage("tools langchain");
  const answer = await able.invoke([asked]);
  const results = answer.tool_calls.map((call) => new ToolMessage({ content: "Sunny", tool_call_id: call.id }));
  return { inputs: answer.tool_calls.map((call) => call.args), text: (await able.invoke([asked, answer, ...results])).text };
}

const thinking = { thinking: { type: "enabled", budget_tokens: 1024 } };
const names = ["live", "helper", "thinking", "tools", "length", "cut", "cutHelped", "refused", "retried", "stopped"];
const told = await Promise.all([
  iterated("live"),
  helped("plain"),
  helped("thoughtful", thinking),
  tools(),
  iterated("length"),
  iterated("cut"),
  helped("cut"),
  iterated("refused"),
  iterated("retried"),
  iterated("silent"),
  iterated("endless"),
]);
console.log(
  JSON.stringify({
    ...Object.fromEntries(names.map((name, place) => [name, told[place]])),
    aborted: await aborted(),
    cached: await iterated("live"),
    together: await Promise.all([iterated("together"), iterated("together")]),
    whole: (await client.messages.create(ask("live"))).content,
    models: (await client.models.list()).data.map((each) => each.id),
    langchain: await langchain("live"),
    langchainCut: await langchain("cut"),
    langchainTools: await langchainTools(),
  }),
);
