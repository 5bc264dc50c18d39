// LangChain's ChatOpenAI for JavaScript and the AI SDK's provider against a server; prints one line of JSON.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { ChatOpenAI } from "@langchain/openai";
import { generateObject, jsonSchema, streamText, tool } from "ai";

const [url] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const provider = createOpenAICompatible({ name: "headwater", baseURL, apiKey: "none", includeUsage: true });
const model = provider("openai:gpt-4o-mini");
const schema = jsonSchema({ type: "object", properties: { name: { type: "string" } }, required: ["name"] });

async function langchain(word) {
  const told = { text: "" };
  try {
    const chat = new ChatOpenAI({ model: "openai:gpt-4o-mini", apiKey: "none", configuration: { baseURL } });
    let whole;
    for await (const chunk of await chat.stream(word)) {
      told.text += chunk.content;
      whole = whole?.concat(chunk) ?? chunk;
    }
    told.finish = whole.response_metadata.finish_reason;
    told.usage = whole.usage_metadata?.total_tokens;
    told.reasoning = whole.additional_kwargs.reasoning_content;
  } catch (thrown) {
    told.error = thrown.constructor.name;
  }
  return told;
}

async function aisdk(prompt, fields) {
  const told = { text: "", parts: [] };
  for await (const part of streamText({ model, prompt, onError: () => {}, ...fields }).fullStream) {
    told.parts.push(part.type);
    if (part.type === "text-delta") told.text += part.text;
    if (part.type === "reasoning-delta") told.reasoning = part.text;
    if (part.type === "tool-call") told.call = part.input;
    if (part.type === "finish") Object.assign(told, { finish: part.finishReason, usage: part.totalUsage.totalTokens });
  }
  told.parts = [...new Set(told.parts)];
  return told;
}

const weather = tool({ inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }) });
const told = {
  langchain: await langchain("thoughtful"),
  langchainLength: await langchain("length"),
  langchainCut: await langchain("cut"),
  aisdk: await aisdk("thoughtful"),
  aisdkLength: await aisdk("length"),
  aisdkCut: await aisdk("cut"),
  aisdkTools: await aisdk("tools", { tools: { weather } }),
  aisdkObject: (await generateObject({ model, prompt: "person", schema })).object,
};
console.log(JSON.stringify(told));
